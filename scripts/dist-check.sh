#!/usr/bin/env bash
# Builds what is given away (the program, and the wheel with the program inside), installs both into
# empty places, and runs guests from there through the command line, the SDK and MCP, with nothing of
# this checkout in reach but the environments that were pulled already.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
say() { printf 'dist-check: %s\n' "$*"; }
fail() { printf 'dist-check: %s\n' "$*" >&2; exit 1; }

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cache=${PYRO_ENVIRONMENT_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pyro-mcp/environments}
bare() { env -i PATH="$1:/usr/bin:/bin" HOME="$place" PYRO_ENVIRONMENT_CACHE_DIR="$cache" "${@:2}"; }

install -D -m 0755 target/release/pyro python/pyro_mcp.data/scripts/pyro
(cd python && "$root/.venv/bin/maturin" build --release --locked --quiet --out "$place/wheels")
wheel=$(echo "$place"/wheels/*.whl)
say "$(basename "$wheel"), $(($(stat -c %s "$wheel") >> 10)) KiB"

mkdir "$place/bin"
install -m 0755 target/release/pyro "$place/bin/pyro"
cd "$place"
bare "$place/bin" pyro --version
bare "$place/bin" pyro env pull debian:12 > /dev/null
out=$(bare "$place/bin" pyro run debian:12 -- git --version)
[[ $out == "git version "* ]] || fail "the program said: $out"
say "program: $out"

python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check --no-index "$wheel"
out=$(bare "$place/venv/bin" pyro run debian:12 -- git --version)
[[ $out == "git version "* ]] || fail "the wheel's program said: $out"
say "wheel's program: $out"

out=$(bare "$place/venv/bin" python - <<'PYTHON'
from pyro_mcp import Pyro

pyro = Pyro()
with pyro.task("debian:12") as task:
    task.exec("echo kept > file")
    assert task.exec("cat file")["stdout"] == "kept\n"
print(pyro.run_in_vm(environment="debian:12", command="git --version")["stdout"], end="")
PYTHON
)
[[ $out == "git version "* ]] || fail "the SDK said: $out"
say "SDK: $out"

out=$(bare "$place/venv/bin" python - <<'PYTHON'
import json
import subprocess

server = subprocess.Popen(["pyro", "mcp", "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(number: int, method: str, **parameters: object) -> dict:
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
    server.stdin.write(json.dumps(message) + "\n")
    server.stdin.flush()
    while (answer := json.loads(server.stdout.readline())).get("id") != number:
        pass
    return answer["result"]


client = {"name": "dist-check", "version": "1"}
ask(1, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)
server.stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
call = {"environment": "debian:12", "command": "git --version"}
print(ask(2, "tools/call", name="vm_run", arguments=call)["structuredContent"]["stdout"], end="")
server.stdin.close()
assert server.wait() == 0
PYTHON
)
[[ $out == "git version "* ]] || fail "MCP said: $out"
say "MCP: $out"
left=$(find "$place/.local/share/pyro/vms" -mindepth 1 -maxdepth 1 | wc -l)
[ "$left" = 0 ] || fail "$left machines were left"
say "nothing is left"
