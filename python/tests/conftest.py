"""A world of its own for each test: its own data directory, and the environments all tests share."""

import fcntl
import os
import pathlib
import signal
import subprocess
import tempfile
from typing import NoReturn

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("PYRO_TEST_BINARY", ROOT / "target/debug/pyro"))
CACHE = pathlib.Path(os.environ.get("PYRO_TEST_CACHE", ROOT / "target/test-cache"))


class World:
    """Where one test's machines are."""

    def __init__(self, base: pathlib.Path) -> None:
        self.data = base / "data"
        self.cache = CACHE
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(base),
            "PYRO_HOME": str(self.data),
            "PYRO_ENVIRONMENT_CACHE_DIR": str(self.cache),
        }

    def machines(self) -> list[str]:
        """Directories of machines that are there."""
        vms = self.data / "vms"
        return sorted(os.listdir(vms)) if vms.exists() else []

    def pyro(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command line in this world."""
        return subprocess.run([BINARY, *words], env=self.environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def kill_supervisor(self, machine: str) -> None:
        """Kills the process that owns a machine, and waits until it is dead."""
        for process in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = process.read_bytes().split(b"\0")
            except OSError:
                continue
            if machine.encode() in words:
                os.kill(int(process.parent.name), signal.SIGKILL)
        with open(self.data / "vms" / machine / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)

    def end(self) -> None:
        """Ends what a failed test left."""
        for machine in self.machines():
            if not machine.startswith("."):
                self.kill_supervisor(machine)


def skip(what: str, why: str) -> NoReturn:
    """Skips, and tells the one command that runs all tests."""
    if skips := os.environ.get("PYRO_TEST_SKIPS"):
        with open(skips, "a", encoding="utf-8") as file:
            file.write(f"{what}: {why}\n")
    pytest.skip(why)


@pytest.fixture
def world():
    if not (CACHE / "debian_12-1.0.0/environment.json").exists():
        skip("python tests", f"{CACHE} has no debian:12; `make check` pulls it")
    with tempfile.TemporaryDirectory() as base:
        world = World(pathlib.Path(base))
        yield world
        world.end()


@pytest.fixture
def anyio_backend():
    return "asyncio"
