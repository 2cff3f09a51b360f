"""Every example and every block of a document that can be run, run: the machines are real."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from conftest import BINARY, ROOT, World
from model import serving

EXAMPLES = ROOT / "examples"


def run(world: World, example: str, **more: str) -> str:
    environment = {**os.environ, **world.environment, "PYRO_BINARY": str(BINARY), "OPENAI_API_KEY": "none", **more}
    ended = subprocess.run([sys.executable, EXAMPLES / example], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert world.machines() == []
    return ended.stdout


def test_python_run(world: World) -> None:
    assert run(world, "python_run.py").startswith("git version 2.")


def test_python_lifecycle(world: World) -> None:
    lines = run(world, "python_lifecycle.py").splitlines()
    assert lines[:3] == ["state: started", "network: False", "1"] and lines[-1] == "deleted: True"


def test_python_task(world: World) -> None:
    lines = run(world, "python_task.py").splitlines()
    assert lines[:4] == ["first", "stdout step 1", "stdout step 2", "stdout step 3"]
    assert lines[-1] == "#5 finished for"


@pytest.mark.parametrize("example", ["agent", "openai_responses", "langchain", "pydantic_ai"])
def test_agents(world: World, example: str) -> None:
    with serving() as (url, seen):
        said = run(world, f"{example}_vm_run.py", OPENAI_BASE_URL=url, MODEL="m")
    assert said.startswith("It said: ") and "git version 2." in said
    assert json.loads(seen[0])["exit_code"] == 0


def test_configurations_are_what_pyro_would_write(world: World, tmp_path: pathlib.Path) -> None:
    for name, client, place in [
        ("cursor_mcp_config.json", "cursor", ".cursor/mcp.json"),
        ("claude_desktop_mcp_config.json", "claude-desktop", ".config/Claude/claude_desktop_config.json"),
    ]:
        path = f"{BINARY.parent}:{os.environ['PATH']}"
        environment = {**world.environment, "HOME": str(tmp_path), "PATH": path}
        subprocess.run([BINARY, "mcp", "install", client, "--write"], env=environment, check=True, capture_output=True)
        assert (tmp_path / place).read_text() == (EXAMPLES / name).read_text()


def test_demo_ollama_gives_errors_to_the_model_and_ends_with_a_summary(world: World) -> None:
    def demo(url: str) -> subprocess.CompletedProcess[str]:
        return world.pyro("demo", "ollama", "--base-url", url, "--model", "m", "-v")

    arguments = {"environment": "debian:12", "command": "echo proof; exit 3"}
    with serving(arguments=arguments) as (url, seen):
        ended = demo(url)
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("[tool] vm_run ") and lines[0].endswith("exit_code=3")
    assert any(line.startswith("[model] It said: ") for line in lines)
    assert lines[-1] == "[summary] exit_code=3 rounds=2" and ended.returncode == 3
    assert json.loads(seen[0])["stdout"] == "proof\n"
    with serving(arguments={"environment": "debian:99", "command": "true"}) as (url, seen):
        ended = demo(url)
    assert json.loads(seen[0])["code"] == "unknown_environment", "an error is data for the model"
    assert ended.stdout.splitlines()[-1] == "[summary] exit_code=1 rounds=2"
    nobody = demo("http://127.0.0.1:9/v1")
    assert nobody.returncode == 1 and "no model answers at http://127.0.0.1:9/v1/chat/completions" in nobody.stderr


@pytest.mark.parametrize("document", ["docs/integrations.md", "docs/first-run.md", "python/README.md"])
def test_python_in_documents(world: World, document: str, tmp_path: pathlib.Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        program = tmp_path / "block.py"
        program.write_text(block)
        environment = {**os.environ, **world.environment, "PYRO_BINARY": str(BINARY)}
        ended = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True)
        assert ended.returncode == 0 and ended.stdout, ended.stderr


def test_the_first_run_is_what_really_happens(world: World) -> None:
    """Every command of the transcript, in order; what changes from run to run is compared by shape."""
    text = (ROOT / "docs/first-run.md").read_text()
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    script, expected = [], []
    for line in "".join(blocks).splitlines():
        # A journal has lines with a dollar, too: those are output.
        if re.match(r"\$ (pyro|id=|sequence=|sleep|echo hello \|)", line):
            script.append(line[2:])
        else:
            expected.append(line)
    path = f"{BINARY.parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        env={**world.environment, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )

    def shape(line: str) -> str:
        line = re.sub(r"\b[0-9a-f]{12}\b", "ID", line)
        line = re.sub(r"duration_ms=\d+", "duration_ms=N", line)
        return re.sub(r"in \d+ s$", "in N s", line)

    assert [shape(line) for line in ended.stdout.splitlines()] == [shape(line) for line in expected]
