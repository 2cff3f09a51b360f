"""What a face costs: the same run through SDK and MCP, against the command line, in turns.

Prints medians and quartiles in milliseconds. A difference includes the start of the process that the
command line needs and the others do not.
"""

import json
import os
import statistics
import subprocess
import sys
import time

from pyro_mcp import Pyro

ROUNDS = 15
PROGRAM, DATA, CACHE = sys.argv[1:4]
ENVIRONMENT = {**os.environ, "PYRO_HOME": DATA, "PYRO_ENVIRONMENT_CACHE_DIR": CACHE, "PYRO_KVM_DEVICE": "/nonexistent"}
os.environ.update(ENVIRONMENT, PYRO_BINARY=PROGRAM)


class Mcp:
    """A client of a few lines."""

    def __init__(self) -> None:
        words = [PROGRAM, "mcp", "serve"]
        self.server = subprocess.Popen(words, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.number = 0
        client = {"name": "bench", "version": "1"}
        self.ask("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)
        self.send({"method": "notifications/initialized"})

    def send(self, message: dict) -> None:
        self.server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.server.stdin.flush()

    def ask(self, method: str, **parameters: object) -> dict:
        self.number += 1
        self.send({"id": self.number, "method": method, "params": parameters})
        while (answer := json.loads(self.server.stdout.readline())).get("id") != self.number:
            pass
        return answer["result"]

    def run(self) -> None:
        result = self.ask("tools/call", name="vm_run", arguments={"environment": "debian:12", "command": "true"})
        assert result["structuredContent"]["exit_code"] == 0, result


def program() -> None:
    subprocess.run([PROGRAM, "run", "debian:12", "--", "true"], env=ENVIRONMENT, check=True, capture_output=True)


def main() -> None:
    pyro, mcp = Pyro(), Mcp()

    def sdk() -> None:
        pyro.run_in_vm(environment="debian:12", command="true")

    faces = {"pyro run": program, "SDK run_in_vm": sdk, "MCP vm_run": mcp.run}
    times: dict[str, list[float]] = {name: [] for name in faces}
    for turn in range(ROUNDS + 1):
        for name in list(faces)[turn % 3 :] + list(faces)[: turn % 3]:
            began = time.perf_counter()
            faces[name]()
            if turn:  # the first is for warming up
                times[name].append((time.perf_counter() - began) * 1e3)
    base = times["pyro run"]
    for name in ("SDK run_in_vm", "MCP vm_run"):
        low, median, high = statistics.quantiles([ours - theirs for ours, theirs in zip(times[name], base)], n=4)
        both = f"[{statistics.median(times[name]):.0f} ms / {statistics.median(base):.0f} ms]"
        print(f"{name + ' - pyro run':<31} {median:.0f} ({low:.0f} to {high:.0f}) ms   goal at most 20   {both}")
    mcp.server.stdin.close()
    mcp.server.wait()


main()
