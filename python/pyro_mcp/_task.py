"""A task as a `with` block."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from ._errors import PyroError
from ._execution import Execution, Payload

if TYPE_CHECKING:
    from ._client import Pyro


class Task:
    """A task that is deleted at the end of its `with` block."""

    def __init__(self, pyro: Pyro, record: Payload) -> None:
        self._pyro = pyro
        self.id: str = record["task_id"]

    def exec(self, command: str, **options: Any) -> Payload:
        """Runs a command; `options` are those of `Pyro.exec_task`."""
        return self._pyro.exec_task(self.id, command=command, **options)

    def stream(self, command: str, **options: Any) -> Execution:
        """Runs a command, its output to be read as it comes."""
        return self._pyro.stream_task(self.id, command=command, **options)

    def status(self) -> Payload:
        """What there is to know of it."""
        return self._pyro.status_task(self.id)

    def logs(self, **options: Any) -> Payload:
        """Its journal."""
        return self._pyro.logs_task(self.id, **options)

    def stop(self, **options: Any) -> Payload:
        """Stops its machine; its files and its journal stay."""
        return self._pyro.stop_task(self.id, **options)

    def start(self, **options: Any) -> Payload:
        """Boots it again with its files and its journal."""
        return self._pyro.start_task(self.id, **options)

    def update(self, **options: Any) -> Payload:
        """Changes its name and labels; `options` are those of `Pyro.update_task`."""
        return self._pyro.update_task(self.id, **options)

    def delete(self) -> Payload:
        """Deletes it."""
        return self._pyro.delete_task(self.id)

    def __enter__(self) -> Task:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.delete()
        except PyroError as gone:
            # Somebody else deleted it, or it expired: that is what was wanted.
            if gone.code not in ("deleted", "expired"):
                raise
