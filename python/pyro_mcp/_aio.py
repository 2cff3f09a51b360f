"""The contract's operations for asyncio: the same names, the same payloads, awaited.

A cancelled await ends the command it waits for.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from ._client import Pyro
from ._errors import PyroError
from ._execution import Execution, Payload, outcome
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


class AsyncPyro:
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
        data = stdin.encode() if isinstance(stdin, str) else stdin
        return await _outcome(self._pyro._native.begin(operation, json.dumps(arguments), data))

    async def list_environments(self) -> Payload:
        """See `Pyro.list_environments`."""
        return await self._do("list_environments")

    async def pull_environment(self, environment: str) -> Payload:
        """See `Pyro.pull_environment`."""
        return await self._do("pull_environment", environment=environment)

    async def inspect_environment(self, environment: str) -> Payload:
        """See `Pyro.inspect_environment`."""
        return await self._do("inspect_environment", environment=environment)

    async def prune_environments(self) -> Payload:
        """See `Pyro.prune_environments`."""
        return await self._do("prune_environments")

    async def run_in_vm(
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
        """See `Pyro.run_in_vm`."""
        return await self._do(
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

    async def create_vm(
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
        """See `Pyro.create_vm`."""
        return await self._do(
            "create_vm",
            environment=environment,
            vcpu_count=vcpu_count,
            mem_mib=mem_mib,
            ttl_seconds=ttl_seconds,
            network=network,
            allow_host_compat=allow_host_compat,
            attempt_id=attempt_id,
        )

    async def start_vm(self, vm_id: str) -> Payload:
        """See `Pyro.start_vm`."""
        return await self._do("start_vm", id=vm_id)

    async def stop_vm(self, vm_id: str) -> Payload:
        """See `Pyro.stop_vm`."""
        return await self._do("stop_vm", id=vm_id)

    async def status_vm(self, vm_id: str) -> Payload:
        """See `Pyro.status_vm`."""
        return await self._do("status_vm", id=vm_id)

    async def exec_vm(
        self, vm_id: str, *, command: str, timeout_seconds: float = 30, stdin: str | bytes | None = None
    ) -> Payload:
        """See `Pyro.exec_vm`."""
        return await self._do("exec_vm", stdin, id=vm_id, command=command, timeout_seconds=timeout_seconds)

    async def delete_vm(self, vm_id: str) -> Payload:
        """See `Pyro.delete_vm`."""
        return await self._do("delete_vm", id=vm_id)

    async def network_info_vm(self, vm_id: str) -> Payload:
        """See `Pyro.network_info_vm`."""
        return await self._do("network_info_vm", id=vm_id)

    async def reap_expired(self) -> Payload:
        """See `Pyro.reap_expired`."""
        return await self._do("reap_expired")

    async def repair(self, *, apply: bool = False, delete: Sequence[str] = ()) -> Payload:
        """See `Pyro.repair`."""
        return await self._do("repair", apply=apply, delete=list(delete))

    async def create_task(
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
        """See `Pyro.create_task`."""
        return await self._do(
            "create_task",
            environment=environment,
            vcpu_count=vcpu_count,
            mem_mib=mem_mib,
            ttl_seconds=ttl_seconds,
            network=network,
            allow_host_compat=allow_host_compat,
            attempt_id=attempt_id,
        )

    async def exec_task(
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
        """See `Pyro.exec_task`."""
        return await self._do(
            "exec_task",
            stdin,
            id=task_id,
            command=command,
            timeout_seconds=timeout_seconds,
            cwd=cwd,
            env=None if env is None else dict(env),
            attempt_id=attempt_id,
        )

    async def stream_task(self, task_id: str, *, command: str, **options: Any) -> AsyncIterator[tuple[str, bytes]]:
        """The output of a command as it comes. Leaving the loop early leaves the command alone."""
        execution: Execution = self._pyro.stream_task(task_id, command=command, **options)
        loop = asyncio.get_running_loop()
        while (event := await loop.run_in_executor(_WAITING, next, execution, None)) is not None:
            yield event
        await _outcome(execution._call)

    async def start_task_command(
        self,
        task_id: str,
        *,
        command: str,
        timeout_seconds: float = 30,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        attempt_id: str | None = None,
    ) -> Payload:
        """See `Pyro.start_task_command`."""
        return await self._do(
            "start_task_command",
            id=task_id,
            command=command,
            timeout_seconds=timeout_seconds,
            cwd=cwd,
            env=None if env is None else dict(env),
            attempt_id=attempt_id,
        )

    async def wait_task(self, task_id: str, sequence: int) -> Payload:
        """See `Pyro.wait_task`."""
        return await self._do("wait_task", id=task_id, sequence=sequence)

    async def cancel_task(self, task_id: str, sequence: int) -> Payload:
        """See `Pyro.cancel_task`."""
        return await self._do("cancel_task", id=task_id, sequence=sequence)

    async def status_task(self, task_id: str) -> Payload:
        """See `Pyro.status_task`."""
        return await self._do("status_task", id=task_id)

    async def list_tasks(self) -> Payload:
        """See `Pyro.list_tasks`."""
        return await self._do("list_tasks")

    async def logs_task(
        self, task_id: str, *, sequence: int | None = None, tail_bytes: int | None = None, last: int | None = None
    ) -> Payload:
        """See `Pyro.logs_task`."""
        return await self._do("logs_task", id=task_id, sequence=sequence, tail_bytes=tail_bytes, last=last)

    async def read_output_task(
        self, task_id: str, sequence: int, *, stream: str = "stdout", offset: int = 0, max_bytes: int = 1 << 20
    ) -> Payload:
        """See `Pyro.read_output_task`."""
        piece = await self._do(
            "read_output_task", id=task_id, sequence=sequence, stream=stream, offset=offset, max_bytes=max_bytes
        )
        piece["data"] = piece["data"].encode("latin-1")
        return piece

    async def extend_task(self, task_id: str, *, ttl_seconds: int) -> Payload:
        """See `Pyro.extend_task`."""
        return await self._do("extend_task", id=task_id, ttl_seconds=ttl_seconds)

    async def delete_task(self, task_id: str) -> Payload:
        """See `Pyro.delete_task`."""
        return await self._do("delete_task", id=task_id)

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
