#!/usr/bin/env bash
# Installs what building, testing and running pyro needs, and says what it installs.
#
# Debian and Ubuntu, as root or by sudo. Quick when nothing is missing: it asks for the programs
# themselves first, and touches apt only when one is not there. Package sources are the machine's
# own; the one it may add (backports, on a Debian whose QEMU is too old) reuses the mirror of
# the source that serves this release today.
#
#   scripts/setup.sh             everything: run, build and test
#   scripts/setup.sh --runtime   only what running pyro needs
#   scripts/setup.sh --bench     everything, and what the benchmark compares with
set -euo pipefail
cd "$(dirname "$0")/.."

QEMU_MINIMUM="8.2"
say()  { printf '[setup] %s\n' "$*" >&2; }
fail() { printf '[setup] error: %s\n' "$1" >&2; [ $# -lt 2 ] || printf '[setup] hint: %s\n' "$2" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif have sudo; then sudo -- "$@"
    else fail "installing packages needs root, and sudo is not here" "run scripts/setup.sh once as root"
    fi
}

apt_updated=""
apt_update() {
    [ -z "$apt_updated" ] || return 0
    say "apt-get update"
    as_root apt-get update -qq || fail "apt-get update failed" "check the machine's apt sources and its network"
    apt_updated=yes
}
apt_install() {
    apt_update
    say "apt-get install: $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null \
        || fail "apt-get could not install: $*"
}

qemu_version() { qemu-system-x86_64 --version 2>/dev/null | sed -nE '1s/.*version ([0-9]+\.[0-9]+).*/\1/p'; }
at_least()     { [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }

# Prints the release (bookworm, noble, …) of this machine.
release_name() { . /etc/os-release; printf '%s' "${VERSION_CODENAME:-}"; }

# Adds RELEASE-backports beside the source that serves RELEASE, with the same URI and key.
add_backports() {
    local release=$1 uri keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    apt_update
    ! apt-get indextargets --format '$(RELEASE)' 'Created-By: Packages' | grep -qx "$release-backports" || return 0
    uri=$(apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' "Codename: $release" 'Component: main' | sed -n 1p)
    [ -n "${uri:-}" ] || fail "no apt source of this machine serves $release, so its backports cannot be found" \
        "install QEMU $QEMU_MINIMUM or newer by hand"
    [ -e "$keyring" ] || apt_install debian-archive-keyring
    say "adding $release-backports to the apt sources (same mirror, Debian's key)"
    printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\nSigned-By: %s\n' \
        "$uri" "$release" "$keyring" | as_root tee "/etc/apt/sources.list.d/pyro-$release-backports.sources" >/dev/null
    apt_updated=""
}

setup_qemu() {
    if at_least "$(qemu_version)" "$QEMU_MINIMUM" && have qemu-img; then return; fi
    local release; release=$(release_name)
    apt_update
    local candidate
    candidate=$(apt-cache policy qemu-system-x86 | sed -nE 's/ *Candidate: ([0-9]+:)?([0-9]+\.[0-9]+).*/\2/p')
    if at_least "$candidate" "$QEMU_MINIMUM"; then
        apt_install qemu-system-x86 qemu-utils
    else
        say "this release's own QEMU (${candidate:-none}) is older than $QEMU_MINIMUM"
        add_backports "$release"
        apt_install -t "$release-backports" qemu-system-x86 qemu-utils
    fi
    at_least "$(qemu_version)" "$QEMU_MINIMUM" \
        || fail "QEMU is $(qemu_version), and $QEMU_MINIMUM or newer is needed" "install a newer QEMU by hand"
}

# package:program pairs; a package is installed when its program is missing.
setup_programs() {
    local missing=() pair
    for pair in "$@"; do
        have "${pair#*:}" || missing+=("${pair%%:*}")
    done
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

setup_runtime() {
    have apt-get || fail "this script knows apt (Debian, Ubuntu) only" \
        "install QEMU $QEMU_MINIMUM+, qemu-img, passt, mmdebstrap, e2fsprogs, kmod, uidmap and the Debian archive keyring"
    setup_qemu
    setup_programs passt:passt mmdebstrap:mmdebstrap e2fsprogs:mke2fs kmod:depmod uidmap:newuidmap \
        fakechroot:fakechroot fakeroot:fakeroot
    # Trixie, which the guests' kernel comes from, is signed with bookworm's keys as well.
    compgen -G '/usr/share/keyrings/debian-archive-*bookworm-automatic.*' >/dev/null \
        || compgen -G '/usr/share/keyrings/debian-archive-trixie-automatic.*' >/dev/null \
        || apt_install debian-archive-keyring
}

setup_rust() {
    have cc || apt_install gcc libc6-dev
    have c++ || apt_install g++ # libFuzzer
    have pgrep || apt_install procps # the tests look for processes
    have git || apt_install git # checkouts are sent to tasks, and changes shown
    have ip || apt_install iproute2 # and make network namespaces
    if ! have cargo; then
        apt_update
        if apt-cache policy rustup | grep -q 'Candidate: [0-9]'; then
            apt_install rustup
            say "rustup default stable"; rustup default stable
        else
            fail "cargo is not here" "install Rust with rustup, then run make setup again"
        fi
    fi
    local target=x86_64-unknown-linux-musl
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
        say "rustup target add $target"
        rustup target add "$target" >/dev/null 2>&1 \
            || say "the musl target cannot be had; the guest agent is linked statically against glibc instead (larger)"
    fi
}

# Python tools live in .venv; it is made anew when the list of them changes.
setup_python() {
    local wanted=scripts/requirements-dev.txt done=.venv/installed-requirements.txt
    cmp -s "$wanted" "$done" && return
    have python3 || apt_install python3
    python3 -c 'import venv, ensurepip' 2>/dev/null || apt_install python3-venv
    say "installing Python tools into .venv: $(grep -v '^#' "$wanted" | tr '\n' ' ')"
    rm -rf .venv
    python3 -m venv .venv || fail "python3 -m venv failed" "apt-get install python3-venv"
    .venv/bin/pip install --quiet --disable-pip-version-check -r "$wanted" || fail "pip could not install the Python tools"
    cp "$wanted" "$done"
}

# What the benchmark runs beside pyro. One that this release does not have is left out of the table.
setup_peers() {
    local pair
    for pair in bubblewrap:bwrap runsc:runsc; do
        have "${pair#*:}" || (apt_install "${pair%%:*}") || say "${pair%%:*} cannot be had here; it is not measured"
    done
}

setup_runtime
[ "${1:-}" = "--runtime" ] || { setup_rust; setup_python; }
[ "${1:-}" != "--bench" ] || setup_peers
