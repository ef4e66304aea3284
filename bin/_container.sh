# Sourced by the scripts for containers: which program makes and runs them.
# shellcheck shell=bash

IMAGE=${PYDICOMBATCH_IMAGE:-pydicom-batch}

die() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit "${2:-3}"
}

# find_engine NAME...: sets ENGINE to what PYDICOMBATCH_ENGINE says, or to the first that is here.
find_engine() {
    local one
    for one in ${PYDICOMBATCH_ENGINE:+"$PYDICOMBATCH_ENGINE"} "$@"; do
        if command -v "$one" >/dev/null; then
            ENGINE=$one
            return 0
        fi
        [ -z "${PYDICOMBATCH_ENGINE:-}" ] ||
            die "PYDICOMBATCH_ENGINE names $one, which is not here: install it, or unset the variable" 2
    done
    die "none of $* is here: install one of them, or name another in PYDICOMBATCH_ENGINE" 2
}
