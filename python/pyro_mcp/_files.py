"""The files of a task."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from ._execution import Payload

if TYPE_CHECKING:
    from ._client import Pyro

_PIECE = 8 << 20


class Files:
    """Files of one task, below `root`. No path and no symbolic link leads out of it."""

    def __init__(self, pyro: Pyro, task_id: str, root: str = "/workspace") -> None:
        self._pyro = pyro
        self._id = task_id
        self._root = root

    def below(self, root: str) -> Files:
        """The files below another directory; `/` is the whole guest."""
        return Files(self._pyro, self._id, root)

    def read(self, path: str) -> bytes:
        """All bytes of a file."""
        pieces: list[bytes] = []
        offset = 0
        while True:
            piece = self._pyro.read_file(self._id, path=path, offset=offset, max_bytes=_PIECE, root=self._root)
            pieces.append(piece["data"])
            offset = piece["next_offset"]
            if piece["ended"]:
                return b"".join(pieces)

    def read_text(self, path: str) -> str:
        """All of a file as UTF-8."""
        return self.read(path).decode()

    def write(self, path: str, content: bytes | str, **options: Any) -> Payload:
        """Replaces a file as a whole, or makes it; `options` are those of `Pyro.write_file`."""
        if isinstance(content, str):
            return self._pyro.write_file(self._id, path=path, content=content, root=self._root, **options)
        data = base64.b64encode(content).decode()
        return self._pyro.write_file(self._id, path=path, data=data, root=self._root, **options)

    def edit(self, path: str, old_text: str, new_text: str, **options: Any) -> Payload:
        """Replaces an exact text, which must occur once unless `replace_all` is set."""
        return self._pyro.edit_file(
            self._id, path=path, old_text=old_text, new_text=new_text, root=self._root, **options
        )

    def list(self, path: str = "", **options: Any) -> Payload:
        """The names in a directory."""
        return self._pyro.list_files(self._id, path=path, root=self._root, **options)

    def stat(self, path: str) -> Payload:
        """What a name stands for."""
        return self._pyro.stat_file(self._id, path=path, root=self._root)

    def find(self, glob: str, **options: Any) -> Payload:
        """Names that fit a pattern."""
        return self._pyro.find_files(self._id, glob=glob, root=self._root, **options)

    def grep(self, pattern: str, **options: Any) -> Payload:
        """Lines that fit a regular expression."""
        return self._pyro.grep_files(self._id, pattern=pattern, root=self._root, **options)

    def make_directory(self, path: str, **options: Any) -> Payload:
        """Makes a directory."""
        return self._pyro.make_directory(self._id, path=path, root=self._root, **options)

    def remove(self, path: str, **options: Any) -> Payload:
        """Removes a file, or with `recursive` a directory."""
        return self._pyro.remove_file(self._id, path=path, root=self._root, **options)

    def move(self, source: str, destination: str, **options: Any) -> Payload:
        """Gives a file or a directory another name."""
        return self._pyro.move_file(self._id, source=source, destination=destination, root=self._root, **options)
