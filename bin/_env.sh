# Sourced by bin/demo and bin/test: a Debian machine, a Python, a virtual environment.
# shellcheck shell=bash

export DEBIAN_FRONTEND=noninteractive
export PIP_DISABLE_PIP_VERSION_CHECK=1
# Where Python may not keep what it has compiled, every start of the program takes three times as
# long, and the tests start it a thousand times
unset PYTHONDONTWRITEBYTECODE

VENV=.venv
WANTED=3.11

die() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit "${2:-3}"
}

# installed PACKAGE: whether Debian's package is on this machine.
installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# apt_install PACKAGE...: installs what is missing; as root, or with sudo.
apt_install() {
    local missing=() sudo=() package
    for package in "$@"; do
        installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        die "this machine has no apt-get: install ${missing[*]} by its own means, then run this again"
    if [ "$(id -u)" -ne 0 ]; then
        # Without a terminal a question for the password would wait for ever
        sudo=(sudo)
        [ -t 0 ] || sudo=(sudo -n)
        if ! command -v sudo >/dev/null || ! "${sudo[@]}" true 2>/dev/null; then
            die "${missing[*]} must be installed first: run this as root or as a user with sudo"
        fi
    fi
    echo "Installing ${missing[*]}"
    quietly "${sudo[@]}" apt-get update ||
        die "apt-get update failed: check the network and the package sources of this machine"
    with_services_kept_down "${missing[@]}" ||
        die "apt-get install ${missing[*]} failed: see above what stands in its way"
}

# with_services_kept_down PACKAGE...: installs them; the tests start their own servers, and a
# service of the package would take their ports. A policy of the machine's own is left alone.
with_services_kept_down() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        # Whatever ends this, the machine must start its services again
        trap '"${sudo[@]}" rm -f "$policy"' EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' | quietly "${sudo[@]}" tee "$policy"
        quietly "${sudo[@]}" chmod 755 "$policy"
    fi >/dev/null
    quietly "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "$@"
)

# quietly COMMAND...: shows what it said only when it fails.
quietly() {
    local said result=0
    said=$("$@" 2>&1) || result=$?
    [ "$result" -eq 0 ] || printf '%s\n' "$said" >&2
    return "$result"
}

# new_enough PYTHON: whether it runs, is new enough and can make a virtual environment with pip.
new_enough() {
    "$1" - "$WANTED" <<'PYTHON' >/dev/null 2>&1
import ensurepip, sys, venv
sys.exit(sys.version_info < tuple(map(int, sys.argv[1].split("."))))
PYTHON
}

# find_python: sets PYTHON; installs Debian's when there is none that will do.
find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" ||
            die "PYTHON=$PYTHON is no Python $WANTED or later with venv: name another, or unset PYTHON" 2
        return 0
    fi
    for candidate in python3 /usr/bin/python3; do
        if new_enough "$candidate"; then
            PYTHON=$candidate
            return 0
        fi
    done
    apt_install python3 python3-venv
    PYTHON=/usr/bin/python3
    new_enough "$PYTHON" ||
        die "Debian's python3 is older than $WANTED: install a later one and name it in PYTHON"
}

# digest WORD...: stands for all that decides what is in the environment.
digest() {
    { printf '%s\n' "$@"; cat pyproject.toml hatch_build.py pydicombatch/receive/server/_*.[ch]; } | sha256sum | cut -d' ' -f1
}

# python_version PYTHON: empty when it does not run.
python_version() {
    "$1" -VV 2>/dev/null || true
}

# is_made EXTRA: whether .venv holds the package with this extra, from this place and this
# pyproject.toml and what is compiled, on the Python named in PYTHON if there is one.
is_made() {
    local version
    version=$(python_version "$VENV/bin/python")
    [ -n "$version" ] &&
        { [ -z "${PYTHON:-}" ] || [ "$version" = "$(python_version "$PYTHON")" ]; } &&
        [ "$(cat "$VENV/.made-$1" 2>/dev/null)" = "$(digest "$PWD" "$1" "$version")" ]
}

# make_venv EXTRA: .venv with the package and one extra, `none` for none. The install is editable:
# it is done again only when pyproject.toml, the place or Python has changed.
make_venv() {
    if is_made "$1" || { [ "$1" = none ] && is_made dev; }; then
        return 0
    fi
    find_python
    echo "Installing pydicombatch into $VENV"
    if [ "$(python_version "$VENV/bin/python")" != "$(python_version "$PYTHON")" ] ||
        ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        rm -rf "$VENV"
        quietly "$PYTHON" -m venv "$VENV" ||
            die "$PYTHON cannot make a virtual environment in $PWD/$VENV: is there room, may you write?"
    fi
    rm -f "$VENV"/.made-*
    local what=.
    [ "$1" = none ] || what=".[$1]"
    quietly "$VENV/bin/python" -m pip install --quiet --editable "$what" ||
        die "pip could not install pydicombatch: see above, and check the network of this machine"
    digest "$PWD" "$1" "$(python_version "$VENV/bin/python")" >"$VENV/.made-$1"
}
