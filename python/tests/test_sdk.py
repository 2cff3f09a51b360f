"""The Python SDK against real guests."""

import asyncio
import inspect
import ipaddress
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import BINARY, World, skip

import pyro_mcp
from pyro_mcp import AsyncPyro, Pyro, PyroRuntimeError, PyroValueError


@pytest.fixture
def pyro(world: World, monkeypatch: pytest.MonkeyPatch) -> Pyro:
    monkeypatch.setenv("PYRO_BINARY", str(BINARY))
    # What is kept ready would be counted with what is left.
    return Pyro(base_dir=world.data, cache_dir=world.cache, standby=False)


def test_environments(pyro: Pyro) -> None:
    names = [environment["name"] for environment in pyro.list_environments()["environments"]]
    assert "debian:12" in names
    assert pyro.inspect_environment("debian:12")["installed"] is True
    assert pyro.pull_environment("debian:12")["kernel_image"]
    pyro.prune_environments()
    assert pyro.prune_environments() == {"count": 0, "deleted_environment_dirs": []}


def test_one_command(pyro: Pyro, world: World) -> None:
    run = pyro.run_in_vm(environment="debian:12", command="cat; echo err >&2; exit 7", stdin="in\n")
    assert (run["stdout"], run["stderr"], run["exit_code"]) == ("in\n", "err\n", 7)
    assert run["cleanup"]["deleted"] is True and world.machines() == []
    slow = pyro.run_in_vm(environment="debian:12", command="echo a; sleep 100", timeout_seconds=0.5)
    assert (slow["stdout"], slow["exit_code"], slow["timed_out"]) == ("a\n", 124, True)


def test_the_life_of_a_vm(pyro: Pyro, world: World) -> None:
    vm_id = pyro.create_vm(environment="debian:12")["vm_id"]
    assert pyro.status_vm(vm_id)["state"] == "created"
    assert pyro.network_info_vm(vm_id)["network_enabled"] is False
    assert pyro.start_vm(vm_id)["state"] == "started"
    assert pyro.stop_vm(vm_id)["state"] == "stopped"
    assert pyro.start_vm(vm_id)["state"] == "started"
    assert pyro.exec_vm(vm_id, command="hostname")["stdout"] == f"{vm_id}\n"
    other = pyro.create_vm(environment="debian:12")["vm_id"]
    assert pyro.delete_vm(other)["deleted"] is True
    assert pyro.reap_expired()["count"] == 0 and world.machines() == []
    assert pyro.repair() == {"applied": False, "count": 0, "findings": []}


def test_a_vm_with_the_network(pyro: Pyro, world: World) -> None:
    try:
        vm_id = pyro.create_vm(environment="debian:12", network=True)["vm_id"]
    except PyroRuntimeError as error:
        if error.code not in ("passt_missing", "no_route"):
            raise
        skip("test_a_vm_with_the_network", str(error))
    before = pyro.network_info_vm(vm_id)
    assert (before["network_enabled"], before["outbound_connectivity_expected"]) == (True, False)
    assert before["reason"] == "the VM is not started" and "guest_ip" not in before
    started = pyro.start_vm(vm_id)
    info = pyro.network_info_vm(vm_id)
    assert info["outbound_connectivity_expected"] is True and "reason" not in info
    assert info["guest_ip"] == started["guest_ip"] and info["mac_address"].replace(":", "")[2:] == vm_id[2:]
    assert ipaddress.ip_address(info["guest_ip"]) in ipaddress.ip_network(info["subnet_cidr"])
    assert info["gateway_ip"] != info["guest_ip"] and info["dns_servers"]
    # Booted from its own disk it has its network again.
    assert pyro.stop_vm(vm_id)["guest_ip"] is None
    assert pyro.start_vm(vm_id)["guest_ip"] == info["guest_ip"]
    seen = pyro.exec_vm(vm_id, command="cat /sys/class/net/eth0/carrier; grep -c nameserver /etc/resolv.conf")["stdout"]
    assert seen.split() == ["1", str(len(info["dns_servers"]))]


def test_the_life_of_a_task(pyro: Pyro, world: World) -> None:
    with pyro.task("debian:12", ttl_seconds=900) as task:
        assert task.exec("echo hello > greeting")["sequence"] == 1
        assert task.exec("cat greeting; echo $A; pwd", env={"A": "b"}, cwd="/workspace")["stdout"] == "hello\nb\n/workspace\n"
        assert task.exec("tr a-z A-Z", stdin=b"bytes")["stdout"] == "BYTES"
        once = [task.exec("echo x >> count; cat count", attempt_id="a") for _ in range(2)]
        assert once[0] == once[1] and once[0]["stdout"] == "x\n"
        pieces = list(task.stream(r"printf '\377\000'; sleep 0.2; echo out; echo err >&2"))
        assert b"".join(data for kind, data in pieces if kind == "stdout") == b"\xff\0out\n"
        assert ("stderr", b"err\n") in pieces
        sequence = pyro.start_task_command(task.id, command="echo on; sleep 0.5; echo off")["sequence"]
        assert pyro.wait_task(task.id, sequence)["stdout"] == "on\noff\n"
        piece = pyro.read_output_task(task.id, sequence, offset=3, max_bytes=2)
        assert (piece["data"], piece["next_offset"], piece["ended"]) == (b"of", 5, False)
        sequence = pyro.start_task_command(task.id, command="sleep 100")["sequence"]
        assert pyro.cancel_task(task.id, sequence)["status"] == "cancelled"
        assert pyro.extend_task(task.id, ttl_seconds=1000)["ttl_seconds"] == 1000
        assert [entry["task_id"] for entry in pyro.list_tasks()["tasks"]] == [task.id]
        assert task.status()["command_count"] == len(pyro.logs_task(task.id)["entries"])
        assert pyro.logs_task(task.id, sequence=1, tail_bytes=10)["count"] == 1
        stream = task.stream("sleep 100")
        stream.cancel()
        with pytest.raises(PyroRuntimeError) as cancelled:
            stream.result()
        assert cancelled.value.code == "command_cancelled"
        assert task.update(name="mine", labels={"team": "core"})["labels"] == {"team": "core"}
        assert pyro.list_tasks(labels={"team": "web"})["count"] == 0
        count, stopped = task.status()["command_count"], task.stop(ttl_seconds=0)
        assert (stopped["state"], stopped["expires_at"]) == ("stopped", None)
        assert pyro.start_task("mine", ttl_seconds=1000)["state"] == "started"
        assert pyro.exec_task("mine", command="true")["sequence"] == count + 1
    assert world.machines() == []


def test_misuse_raises_the_right_class_with_code_and_hint(pyro: Pyro) -> None:
    with pytest.raises(ValueError) as unknown:
        pyro.status_task("nothing")
    assert isinstance(unknown.value, PyroValueError)
    assert unknown.value.code == "unknown_task" and "task list" in unknown.value.hint
    with pytest.raises(PyroValueError) as range_error:
        pyro.run_in_vm(environment="debian:12", command="true", mem_mib=1)
    assert str(range_error.value) == "mem_mib is 1; it must be 256 to 32768"
    for wrong in (
        lambda: pyro.run_in_vm(environment="debian:99", command="true"),
        lambda: pyro.run_in_vm(environment="debian:12", command=" "),
        lambda: pyro.create_task(environment="debian:12", ttl_seconds=1),
        lambda: pyro.run_in_vm(environment="debian:12", command="true", mem_mib="much"),
        lambda: Pyro(max_active_vms=0),
    ):
        with pytest.raises(PyroValueError):
            wrong()
    with pytest.raises(TypeError):
        pyro.run_in_vm("debian:12", "true")
    vm_id = pyro.create_vm(environment="debian:12")["vm_id"]
    with pytest.raises(RuntimeError) as early:
        pyro.exec_vm(vm_id, command="true")
    assert isinstance(early.value, PyroRuntimeError) and early.value.code == "not_started"
    pyro.delete_vm(vm_id)


def test_threads_work_side_by_side_and_an_asyncio_loop_with_them(pyro: Pyro, world: World) -> None:
    results: list[str] = []

    def work(number: int) -> None:
        run = pyro.run_in_vm(environment="debian:12", command=f"sleep 0.5; echo {number}")
        results.append(run["stdout"].strip())

    async def loop() -> None:
        aio = AsyncPyro(base_dir=world.data, cache_dir=world.cache)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        async with aio.task("debian:12") as task:
            both = await asyncio.gather(task.exec("sleep 0.3; echo a"), task.exec("sleep 0.3; echo b"))
            results.extend(sorted(one["stdout"].strip() for one in both))
            seen = [data async for kind, data in task.stream("echo 1; sleep 0.1; echo 2") if kind == "stdout"]
            assert b"".join(seen) == b"1\n2\n"
            before = (await task.status())["command_count"]
            sleeping = asyncio.create_task(task.exec("sleep 100"))
            while (await task.status())["command_count"] == before:
                await asyncio.sleep(0.02)
            sleeping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sleeping
            entries = (await task.logs())["entries"]
            assert entries[-1]["status"] == "cancelled", "a cancelled await ends its command"
        ticking.cancel()
        assert ticks > 10, "the loop was never blocked"

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    asyncio.run(loop())
    for thread in threads:
        thread.join()
    assert sorted(results) == ["0", "1", "a", "b"]
    assert world.machines() == []


def test_ctrl_c_ends_a_long_command(pyro: Pyro, world: World) -> None:
    task_id = pyro.create_task(environment="debian:12")["task_id"]
    program = f"""
import sys
from pyro_mcp import Pyro
pyro = Pyro(base_dir={str(world.data)!r}, cache_dir={str(world.cache)!r})
print("on", flush=True)
try:
    pyro.exec_task({task_id!r}, command="sleep 100")
except KeyboardInterrupt:
    sys.exit(42)
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert child.stdout and child.stdout.readline() == b"on\n"
    while not pyro.status_task(task_id)["command_count"]:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    assert child.wait(20) == 42
    assert pyro.logs_task(task_id)["entries"][0]["status"] == "cancelled"
    pyro.delete_task(task_id)


def test_a_forked_child_works_too(pyro: Pyro, world: World) -> None:
    program = f"""
import os
from pyro_mcp import Pyro
pyro = Pyro(base_dir={str(world.data)!r}, cache_dir={str(world.cache)!r})
assert pyro.run_in_vm(environment="debian:12", command="true")["exit_code"] == 0
child = os.fork()
if child == 0:
    code = pyro.run_in_vm(environment="debian:12", command="exit 42")["exit_code"]
    pyro.close()  # _exit does not: the machine that is made ready for the next run would be left to a sweep
    os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert world.machines() == []


def test_a_machine_waits_for_the_next_run_and_goes_with_its_owner(pyro: Pyro, world: World) -> None:
    program = f"""
from pyro_mcp import Pyro
pyro = Pyro(base_dir={str(world.data)!r}, cache_dir={str(world.cache)!r})
runs = [pyro.run_in_vm(environment="debian:12", command="cat /workspace/*; echo mine > /workspace/left") for _ in range(3)]
assert len({{run["vm_id"] for run in runs}}) == 3, "each run has a machine of its own"
assert [run["timings_ms"]["create"] > 0 for run in runs] == [True, False, False], runs
assert not any("mine" in run["stdout"] for run in runs), "and nothing of another's"
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert world.machines() == [], "it ended with the program"
    kept = Pyro(base_dir=world.data, cache_dir=world.cache)
    kept.run_in_vm(environment="debian:12", command="true")
    kept.close()
    assert world.machines() == []
    assert kept.run_in_vm(environment="debian:12", command="exit 3")["exit_code"] == 3
    assert world.machines() == []


def test_any_process_sees_every_vm_and_task(pyro: Pyro, world: World) -> None:
    task_id = pyro.create_task(environment="debian:12")["task_id"]
    seen = world.pyro("task", "exec", task_id, "--", "echo", "from the command line")
    assert seen.stdout == "from the command line\n", seen.stderr
    assert pyro.status_task(task_id)["command_count"] == 1
    assert world.pyro("task", "delete", task_id).returncode == 0
    with pytest.raises(PyroValueError) as gone:
        pyro.status_task(task_id)
    assert gone.value.code == "deleted"


def test_the_twin_has_every_method_and_the_same_parameters() -> None:
    for name, method in inspect.getmembers(Pyro, inspect.isfunction):
        if name.startswith("_") or name in ("create_server", "stream_task", "task"):
            continue
        twin = getattr(AsyncPyro, name)
        assert inspect.iscoroutinefunction(twin), name
        assert inspect.signature(method).parameters.keys() == inspect.signature(twin).parameters.keys(), name


def test_the_package_says_which_release_it_is() -> None:
    assert pyro_mcp.__version__ == "2.2.0-dev"


def test_the_types_are_right() -> None:
    root = pathlib.Path(__file__).parents[1]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml"], cwd=root, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout


def test_the_server_is_the_programs(pyro: Pyro, world: World) -> None:
    program = f"""
from pyro_mcp import Pyro
raise SystemExit(Pyro(base_dir={str(world.data)!r}, cache_dir={str(world.cache)!r}).create_server().run())
"""
    hello = (
        b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18",'
        b'"capabilities":{},"clientInfo":{"name":"t","version":"1"}}}\n'
    )
    environment = {**os.environ, "PYRO_BINARY": str(BINARY)}
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert child.stdin and child.stdout
    child.stdin.write(hello)
    child.stdin.flush()
    assert b'"pyro_mcp"' in child.stdout.readline()
    child.stdin.close()
    assert child.wait(20) == 0


def test_files_of_a_task(pyro: Pyro, tmp_path: pathlib.Path) -> None:
    source = tmp_path / "source"
    (source / "src").mkdir(parents=True)
    (source / "src" / "main.py").write_text("print('one')\n")
    with pyro.task("debian:12") as task:
        task.seed(str(source))
        assert task.diff()["changes"] == []
        assert task.files.read_text("src/main.py") == "print('one')\n"
        digest = task.files.write("bytes", bytes(range(256)))["digest"]
        assert task.files.read("bytes") == bytes(range(256))
        with pytest.raises(PyroRuntimeError) as changed:
            task.files.write("bytes", "other", if_digest="0" * 64)
        assert changed.value.code == "file_changed"
        assert task.files.write("bytes", "text", if_digest=digest)["bytes"] == 4
        assert task.files.edit("src/main.py", "one", "two")["replaced"] == 1
        assert task.exec("cat src/main.py")["stdout"] == "print('two')\n"
        assert [entry["path"] for entry in task.files.list()["entries"]] == ["bytes", "src"]
        assert task.files.grep("tw.")["matches"][0]["line"] == "print('two')"
        assert task.files.below("/").stat("etc/passwd")["kind"] == "file"
        assert [change["path"] for change in task.diff(form="names")["changes"]] == ["bytes", "src/main.py"]
        applied = task.apply(str(source), only=["src/**"])
        assert (source / "src" / "main.py").read_text() == "print('two')\n" and applied["number"] == 1
        assert not (source / "bytes").exists()
        assert pyro.undo_apply(task.id)["restored"] == ["src/main.py"]
        task.export(str(tmp_path / "out"))
        assert (tmp_path / "out" / "bytes").read_text() == "text"
