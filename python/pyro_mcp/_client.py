"""The contract's operations, for programs that wait."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from ._config import config
from ._execution import Execution, Payload, outcome
from ._server import Server
from ._task import Task
from .pyro_native import Call, Native


def _stdin(data: str | bytes | None) -> bytes | None:
    return data.encode() if isinstance(data, str) else data


class Pyro:
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
        self._end_standby = weakref.finalize(self, self._native.end_standby)

    def close(self) -> None:
        """Ends the machine that is kept ready, and keeps none ready any more. Happens by itself when this
        object goes, or the program ends; VMs and tasks stay."""
        self._end_standby()

    def _begin(self, operation: str, stdin: str | bytes | None = None, **arguments: Any) -> Call:
        return self._native.begin(operation, json.dumps(arguments), _stdin(stdin))

    def _do(self, operation: str, stdin: str | bytes | None = None, **arguments: Any) -> Payload:
        return outcome(self._begin(operation, stdin, **arguments))

    def list_environments(self) -> Payload:
        """Every environment of the catalog."""
        return self._do("list_environments")

    def pull_environment(self, environment: str) -> Payload:
        """Installs an environment. Safe to repeat."""
        return self._do("pull_environment", environment=environment)

    def inspect_environment(self, environment: str) -> Payload:
        """One environment."""
        return self._do("inspect_environment", environment=environment)

    def prune_environments(self) -> Payload:
        """Removes what this release does not use."""
        return self._do("prune_environments")

    def run_in_vm(
        self,
        *,
        environment: str,
        command: str,
        vcpu_count: int = 1,
        mem_mib: int = 1024,
        timeout_seconds: float = 30,
        ttl_seconds: int | None = None,
        network: bool = False,
        allow_host_compat: bool = False,
        stdin: str | bytes | None = None,
    ) -> Payload:
        """Runs one command in a machine of its own, and removes the machine."""
        return self._do(
            "run_in_vm",
            stdin,
            environment=environment,
            command=command,
            vcpu_count=vcpu_count,
            mem_mib=mem_mib,
            timeout_seconds=timeout_seconds,
            ttl_seconds=ttl_seconds,
            network=network,
            allow_host_compat=allow_host_compat,
        )

    def create_vm(
        self,
        *,
        environment: str,
        vcpu_count: int = 1,
        mem_mib: int = 1024,
        ttl_seconds: int = 600,
        network: bool = False,
        allow_host_compat: bool = False,
        attempt_id: str | None = None,
    ) -> Payload:
        """Creates a VM without starting it."""
        return self._do(
            "create_vm",
            environment=environment,
            vcpu_count=vcpu_count,
            mem_mib=mem_mib,
            ttl_seconds=ttl_seconds,
            network=network,
            allow_host_compat=allow_host_compat,
            attempt_id=attempt_id,
        )

    def start_vm(self, vm_id: str) -> Payload:
        """Starts a created or stopped VM."""
        return self._do("start_vm", id=vm_id)

    def stop_vm(self, vm_id: str) -> Payload:
        """Stops a VM; its disk stays."""
        return self._do("stop_vm", id=vm_id)

    def status_vm(self, vm_id: str) -> Payload:
        """What there is to know of a VM."""
        return self._do("status_vm", id=vm_id)

    def exec_vm(
        self, vm_id: str, *, command: str, timeout_seconds: float = 30, stdin: str | bytes | None = None
    ) -> Payload:
        """Runs one command in a started VM and deletes the VM, whatever came of it."""
        return self._do("exec_vm", stdin, id=vm_id, command=command, timeout_seconds=timeout_seconds)

    def delete_vm(self, vm_id: str) -> Payload:
        """Deletes a VM in any state."""
        return self._do("delete_vm", id=vm_id)

    def network_info_vm(self, vm_id: str) -> Payload:
        """The network of a VM."""
        return self._do("network_info_vm", id=vm_id)

    def reap_expired(self) -> Payload:
        """Removes VMs and tasks whose time is up. They go by themselves, too."""
        return self._do("reap_expired")

    def repair(self, *, apply: bool = False, delete: Sequence[str] = ()) -> Payload:
        """Says what is damaged in pyro's own files; with `apply` restores what can be restored. Removes
        nothing but what `delete` names by its whole id."""
        return self._do("repair", apply=apply, delete=list(delete))

    def create_task(
        self,
        *,
        environment: str,
        vcpu_count: int = 1,
        mem_mib: int = 1024,
        ttl_seconds: int = 600,
        network: bool = False,
        allow_host_compat: bool = False,
        attempt_id: str | None = None,
    ) -> Payload:
        """Creates a task: a machine that stays, with a persistent /workspace."""
        return self._do(
            "create_task",
            environment=environment,
            vcpu_count=vcpu_count,
            mem_mib=mem_mib,
            ttl_seconds=ttl_seconds,
            network=network,
            allow_host_compat=allow_host_compat,
            attempt_id=attempt_id,
        )

    def exec_task(
        self,
        task_id: str,
        *,
        command: str,
        timeout_seconds: float = 30,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        attempt_id: str | None = None,
    ) -> Payload:
        """Runs a command in a task's workspace. A repeated `attempt_id` does not run it again."""
        return self.stream_task(
            task_id,
            command=command,
            timeout_seconds=timeout_seconds,
            cwd=cwd,
            env=env,
            stdin=stdin,
            attempt_id=attempt_id,
        ).result()

    def stream_task(
        self,
        task_id: str,
        *,
        command: str,
        timeout_seconds: float = 30,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        attempt_id: str | None = None,
    ) -> Execution:
        """Runs a command in a task's workspace, its output to be read as it comes."""
        return Execution(
            self._begin(
                "exec_task",
                stdin,
                id=task_id,
                command=command,
                timeout_seconds=timeout_seconds,
                cwd=cwd,
                env=None if env is None else dict(env),
                attempt_id=attempt_id,
            )
        )

    def start_task_command(
        self,
        task_id: str,
        *,
        command: str,
        timeout_seconds: float = 30,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        attempt_id: str | None = None,
    ) -> Payload:
        """Starts a command and returns its `sequence` at once; see `wait_task`."""
        return self._do(
            "start_task_command",
            id=task_id,
            command=command,
            timeout_seconds=timeout_seconds,
            cwd=cwd,
            env=None if env is None else dict(env),
            attempt_id=attempt_id,
        )

    def wait_task(self, task_id: str, sequence: int) -> Payload:
        """Waits for a command that was started before."""
        return self._do("wait_task", id=task_id, sequence=sequence)

    def cancel_task(self, task_id: str, sequence: int) -> Payload:
        """Ends a running command with all its processes; returns its journal entry."""
        return self._do("cancel_task", id=task_id, sequence=sequence)

    def status_task(self, task_id: str) -> Payload:
        """What there is to know of a task."""
        return self._do("status_task", id=task_id)

    def list_tasks(self) -> Payload:
        """Every task, oldest first."""
        return self._do("list_tasks")

    def logs_task(
        self, task_id: str, *, sequence: int | None = None, tail_bytes: int | None = None, last: int | None = None
    ) -> Payload:
        """A task's journal; `last` keeps only the last so many commands."""
        return self._do("logs_task", id=task_id, sequence=sequence, tail_bytes=tail_bytes, last=last)

    def read_output_task(
        self, task_id: str, sequence: int, *, stream: str = "stdout", offset: int = 0, max_bytes: int = 1 << 20
    ) -> Payload:
        """A piece of a command's output from a byte offset: `data`, `next_offset`, `ended`, `cut`."""
        piece = self._do(
            "read_output_task", id=task_id, sequence=sequence, stream=stream, offset=offset, max_bytes=max_bytes
        )
        piece["data"] = piece["data"].encode("latin-1")
        return piece

    def extend_task(self, task_id: str, *, ttl_seconds: int) -> Payload:
        """Lets a task live `ttl_seconds` more, counted from now."""
        return self._do("extend_task", id=task_id, ttl_seconds=ttl_seconds)

    def delete_task(self, task_id: str) -> Payload:
        """Deletes a task with its workspace and its journal."""
        return self._do("delete_task", id=task_id)

    def task(self, environment: str, **options: Any) -> Task:
        """A new task, deleted at the end of a `with` block; `options` are those of `create_task`."""
        return Task(self, self.create_task(environment=environment, **options))

    def create_server(self, *, allow_host_compat: bool = False) -> Server:
        """The MCP server over the same machines."""
        return Server(self._config, allow_host_compat=allow_host_compat)
