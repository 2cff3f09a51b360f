"""The MCP server, for programs that start it from Python."""

from __future__ import annotations

import json
import os
import subprocess

from ._config import config, program


class Server:
    """The same server as `pyro mcp serve`."""

    def __init__(self, configuration: str, *, allow_host_compat: bool = False) -> None:
        values = json.loads(configuration)
        self._environment = dict(os.environ)
        self._environment["PYRO_HOME"] = values["data"]
        self._environment["PYRO_ENVIRONMENT_CACHE_DIR"] = values["cache"]
        if values["max_active_vms"] is not None:
            self._environment["PYRO_MAX_ACTIVE_VMS"] = str(values["max_active_vms"])
        self._flags = ["--allow-host-compat"] if allow_host_compat else []
        if not values["standby"]:
            self._flags.append("--no-standby")

    def run(self) -> int:
        """Serves on standard input and output until the client goes away; returns the exit code."""
        words = [program(), "mcp", "serve", *self._flags]
        return subprocess.call(words, env=self._environment)


def create_server(*, allow_host_compat: bool = False) -> Server:
    """The MCP server over this user's machines."""
    return Server(config(None, None, None, True), allow_host_compat=allow_host_compat)
