"""The contract's operations for asyncio: the same names, the same payloads, awaited.

A cancelled await ends the command it waits for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from ._client import Pyro
from ._errors import PyroError
from ._execution import Execution, Payload, begin, outcome
from ._operations import AsyncOperations
from .pyro_native import Call

#: Threads that only wait; the work is done by the native half's own.
_WAITING = ThreadPoolExecutor(max_workers=256, thread_name_prefix="pyro-waiting")


async def _outcome(call: Call) -> Payload:
    waiting = asyncio.get_running_loop().run_in_executor(_WAITING, outcome, call)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        call.cancel()
        # Only its end matters: nothing of it is left then.
        await asyncio.wait([waiting])
        waiting.exception()
        raise


class AsyncPyro(AsyncOperations):
    """`Pyro`, awaited."""

    def __init__(
        self,
        *,
        base_dir: str | os.PathLike[str] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        max_active_vms: int | None = None,
        standby: bool = True,
    ) -> None:
        self._pyro = Pyro(base_dir=base_dir, cache_dir=cache_dir, max_active_vms=max_active_vms, standby=standby)

    async def close(self) -> None:
        """See `Pyro.close`."""
        await asyncio.to_thread(self._pyro.close)

    async def _do(self, operation: str, stdin: str | bytes | None = None, **arguments: Any) -> Payload:
        return await _outcome(begin(self._pyro._native, operation, stdin, arguments))

    async def stream_task(self, task_id: str, *, command: str, **options: Any) -> AsyncIterator[tuple[str, bytes]]:
        """The output of a command as it comes. Leaving the loop early leaves the command alone."""
        execution: Execution = self._pyro.stream_task(task_id, command=command, **options)
        loop = asyncio.get_running_loop()
        while (event := await loop.run_in_executor(_WAITING, next, execution, None)) is not None:
            yield event
        await _outcome(execution._call)

    def task(self, environment: str, **options: Any) -> AsyncTask:
        """A new task for an `async with` block."""
        return AsyncTask(self, environment, options)


class AsyncTask:
    """A task that lives as long as its `async with` block."""

    def __init__(self, pyro: AsyncPyro, environment: str, options: Mapping[str, Any]) -> None:
        self._pyro = pyro
        self._environment = environment
        self._options = options
        self.id = ""

    async def exec(self, command: str, **options: Any) -> Payload:
        """Runs a command; `options` are those of `Pyro.exec_task`."""
        return await self._pyro.exec_task(self.id, command=command, **options)

    def stream(self, command: str, **options: Any) -> AsyncIterator[tuple[str, bytes]]:
        """The output of a command as it comes."""
        return self._pyro.stream_task(self.id, command=command, **options)

    async def status(self) -> Payload:
        """What there is to know of it."""
        return await self._pyro.status_task(self.id)

    async def logs(self, **options: Any) -> Payload:
        """Its journal."""
        return await self._pyro.logs_task(self.id, **options)

    async def __aenter__(self) -> AsyncTask:
        self.id = (await self._pyro.create_task(environment=self._environment, **self._options))["task_id"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._pyro.delete_task(self.id)
        except PyroError as gone:
            if gone.code not in ("deleted", "expired"):
                raise
