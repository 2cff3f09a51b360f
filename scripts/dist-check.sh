#!/usr/bin/env bash
# Installs the release build into an empty directory and runs a guest from there, with nothing of
# this checkout in reach but the environments that were pulled already.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
install -m 0755 target/release/pyro "$place/pyro"
cache=${PYRO_ENVIRONMENT_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/pyro-mcp/environments}
cd "$place"
pyro() { env -i PATH="/usr/bin:/bin" HOME="$place" PYRO_ENVIRONMENT_CACHE_DIR="$cache" "$place/pyro" "$@"; }
pyro --version
pyro env pull debian:12 >/dev/null
out=$(pyro run debian:12 -- git --version)
case "$out" in
    "git version "*) printf 'dist-check: %s\n' "$out" ;;
    *) printf 'dist-check: unexpected output: %s\n' "$out" >&2; exit 1 ;;
esac
