"""A command whose output is read while it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ._errors import error_from
from .pyro_native import Call, Native

Payload = dict[str, Any]


def begin(native: Native, operation: str, stdin: str | bytes | None, arguments: dict[str, Any]) -> Call:
    """Begins an operation; `stdin` is the whole input of its command."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    return native.begin(operation, json.dumps(arguments), data)


def outcome(call: Call) -> Payload:
    """Waits for the end of a call; raises what went wrong."""
    worked, text = call.result()
    if not worked:
        raise error_from(text)
    payload: Payload = json.loads(text)
    return payload


class Execution(Iterator[tuple[str, bytes]]):
    """Iterate over it for the output as it comes: pairs of `"stdout"` or `"stderr"`, and bytes.

    `result()` waits for the end and returns the payload, `cancel()` ends the command. A program
    that goes away leaves the command of a task alone.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    def __next__(self) -> tuple[str, bytes]:
        while (event := self._call.next_event()) is not None:
            if event[0] in ("stdout", "stderr"):
                return event
        raise StopIteration

    def result(self) -> Payload:
        """The payload of the command, once it is over. Output that was not read is left out."""
        return outcome(self._call)

    def cancel(self) -> None:
        """Ends the command with all its processes."""
        self._call.cancel()
