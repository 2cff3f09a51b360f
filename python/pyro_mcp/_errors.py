"""Every error has a stable code, and often a hint that says what to do now."""

from __future__ import annotations

import json

#: What the caller got wrong: an argument, or an id that is not known.
_VALUE_CODES = frozenset(
    {
        "ambiguous_id",
        "attempt_conflict",
        "deleted",
        "expired",
        "invalid_argument",
        "out_of_range",
        "unknown_environment",
        "unknown_sequence",
        "unknown_task",
        "unknown_vm",
    }
)


class PyroError(Exception):
    """What all errors of this package have."""

    code: str
    hint: str | None

    def __init__(self, message: str, code: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


class PyroValueError(PyroError, ValueError):
    """A bad argument or an unknown id."""


class PyroRuntimeError(PyroError, RuntimeError):
    """Everything else."""


def error_from(failure: str) -> PyroError:
    """The exception for a failure of the native half."""
    parsed = json.loads(failure)
    kind = PyroValueError if parsed["code"] in _VALUE_CODES else PyroRuntimeError
    return kind(parsed["error"], parsed["code"], parsed["hint"])
