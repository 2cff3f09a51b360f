"""A task as a `with` block."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from ._errors import PyroError
from ._execution import Execution, Payload
from ._files import Files

if TYPE_CHECKING:
    from ._client import Pyro


class Task:
    """A task that is deleted at the end of its `with` block."""

    def __init__(self, pyro: Pyro, record: Payload) -> None:
        self._pyro = pyro
        self.id: str = record["task_id"]
        self.files = Files(pyro, self.id)

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

    def seed(self, source: str, **options: Any) -> Payload:
        """Fills its empty workspace with a directory, a Git checkout or an archive of this host."""
        return self._pyro.seed_task(self.id, source=source, **options)

    def push(self, source: str, **options: Any) -> Payload:
        """Sends a directory, a Git checkout or an archive of this host into it."""
        return self._pyro.push_files(self.id, source=source, **options)

    def export(self, output: str, **options: Any) -> Payload:
        """Writes a directory of it to a new directory or an archive on this host."""
        return self._pyro.export_files(self.id, output=output, **options)

    def diff(self, **options: Any) -> Payload:
        """What changed since it was seeded."""
        return self._pyro.diff_task(self.id, **options)

    def apply(self, to: str, **options: Any) -> Payload:
        """Takes what changed over into a directory of this host."""
        return self._pyro.apply_task(self.id, to=to, **options)

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
