"""The contract's operations, for programs that wait."""

from __future__ import annotations

import os
import weakref
from typing import Any

from ._config import config
from ._execution import Execution, Payload, begin
from ._operations import Operations
from ._server import Server
from ._task import Task
from .pyro_native import Native


class Pyro(Operations):
    """Runs commands in microVMs.

    `base_dir` has the machines (`PYRO_HOME` otherwise), `cache_dir` the installed environments
    (`PYRO_ENVIRONMENT_CACHE_DIR`), `max_active_vms` limits how many machines may live at once
    (`PYRO_MAX_ACTIVE_VMS`). After a run, a machine of the same kind is kept ready for the next one,
    for five minutes; `standby=False` keeps none. Every method raises `PyroValueError` for what the caller got wrong and
    `PyroRuntimeError` otherwise. Methods may be called from any number of threads; Ctrl-C ends the
    command that the main thread waits for.
    """

    def __init__(
        self,
        *,
        base_dir: str | os.PathLike[str] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        max_active_vms: int | None = None,
        standby: bool = True,
    ) -> None:
        self._config = config(base_dir, cache_dir, max_active_vms, standby)
        self._native = Native(self._config)
        self._end_warm_pool = weakref.finalize(self, self._native.end_warm_pool)

    def close(self) -> None:
        """Ends the machine that is kept ready, and keeps none ready any more. Happens by itself when this
        object goes, or the program ends; VMs and tasks stay."""
        self._end_warm_pool()

    def _begin(self, operation: str, stdin: str | bytes | None = None, **arguments: Any) -> Execution:
        return Execution(begin(self._native, operation, stdin, arguments))

    def _do(self, operation: str, stdin: str | bytes | None = None, **arguments: Any) -> Payload:
        return self._begin(operation, stdin, **arguments).result()

    def task(self, environment: str, **options: Any) -> Task:
        """A new task, deleted at the end of a `with` block; `options` are those of `create_task`."""
        return Task(self, self.create_task(environment=environment, **options))

    def create_server(self, *, allow_host_compat: bool = False) -> Server:
        """The MCP server over the same machines."""
        return Server(self._config, allow_host_compat=allow_host_compat)
