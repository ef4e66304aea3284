#!/usr/bin/env bash
# Run an extraction in the container pydicom-batch; more arguments go to `pydicombatch run`:
#
#   bin/run-docker-extraction.sh CONFIG [ARGUMENT...]
#
# The container sees the files and directories that CONFIG names, under their own names, the
# environment variables that it names, and nothing else. The archive reaches it on local.port.
# Ctrl-C and SIGTERM get to the program; the exit code is the program's.
#
# PYDICOMBATCH_ENGINE   docker or podman; by default the first of them that is here
# PYDICOMBATCH_IMAGE    another name for the image
# PYDICOMBATCH_NETWORK  `host`: use this machine's network as it is, for an archive that runs on it
set -euo pipefail
# shellcheck source=bin/_container.sh
. "$(dirname "${BASH_SOURCE[0]}")/_container.sh"

case ${1:-} in
-h | --help)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
'' | -*) die "name the configuration first: ${0##*/} CONFIG [ARGUMENT...]" 2 ;;
esac
config=$1
shift
[ -f "$config" ] || die "$config is not there: check its name and folder" 2
path=$(realpath -s -- "$config")
find_engine docker podman

# bind KIND PATH: gives the container a file or directory, which may not have a comma in its name
# (the only way to write it would differ from one engine to the next).
bind() {
    case $2 in
    *,* | *\"*) die "a container cannot be given a path with a comma or a quote: rename it" 2 ;;
    esac
    local mount=type=bind,source=$2,target=$2
    [ "$1" = write ] || mount+=,readonly
    given+=(--mount "$mount")
}

given=(--rm --workdir "$PWD" --user "$(id -u):$(id -g)" --env "HOME=$HOME")
# Without root's help podman maps its users; files are to be the caller's
[ "${ENGINE##*/}" != podman ] || [ "$(id -u)" -eq 0 ] || given+=(--userns keep-id)
bind read "$path"

# ask OPTION...: what the program says that a run needs; only the program reads the configuration.
ask() {
    "$ENGINE" run "${given[@]}" "$IMAGE" check "$@" "$path"
}

said=$(ask --variables) || exit
while IFS=$'\t' read -r kind name; do
    # Without a value: the engine takes it from this environment, and no list of processes shows it
    [ "$kind" != variable ] || [ -z "${!name+set}" ] || given+=(--env "$name")
done <<<"$said"
said=$(ask --port --paths) || exit
network=(${PYDICOMBATCH_NETWORK:+--network "$PYDICOMBATCH_NETWORK"})
while IFS=$'\t' read -r kind value; do
    case $kind in
    port) [ "${PYDICOMBATCH_NETWORK:-}" = host ] || network+=(--publish "$value:$value") ;;
    write)
        # An engine would make it itself, as root
        [ -d "$value" ] || mkdir -p -m 700 -- "$value" ||
            die "$value cannot be made: choose a directory that you may write" 3
        bind write "$value"
        ;;
    read)
        # What is not there the program reports, with the line of the configuration
        [ "$value" = "$path" ] || [ ! -e "$value" ] || bind read "$value"
        ;;
    esac
done <<<"$said"

terminal=()
[ ! -t 0 ] || [ ! -t 1 ] || terminal=(--interactive --tty)
# The program is the container's first process behind an init, which hands signals on
exec "$ENGINE" run --init "${terminal[@]}" "${network[@]}" "${given[@]}" \
    --env "PYDICOMBATCH_CONFIG=$path" "$IMAGE" run "$path" "$@"
