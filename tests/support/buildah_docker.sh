#!/bin/bash
# `docker run` as far as bin/run-docker-extraction.sh uses it, by buildah, which needs no kernel
# feature that a container of its own would lack. The network is the machine's.
set -eu
[ "$1" = run ]
shift
options=() workdir=/
while [ "${1#--}" != "$1" ]; do
    case $1 in
    --rm | --init | --interactive | --tty) shift ;;
    --publish | --network | --userns) shift 2 ;;
    --workdir)
        workdir=$2
        shift 2
        ;;
    --user)
        options+=(--user "$2")
        shift 2
        ;;
    --env)
        case $2 in
        *=*) options+=(--env "$2") ;;
        *) options+=(--env "$2=${!2}") ;;
        esac
        shift 2
        ;;
    --mount)
        source=${2#*source=}
        source=${source%%,*}
        case $2 in
        *,readonly) options+=(--volume "$source:$source:ro") ;;
        *) options+=(--volume "$source:$source") ;;
        esac
        shift 2
        ;;
    *) exit 125 ;;
    esac
done
image=$1
shift
container=$(buildah from --pull-never "$image")
trap 'buildah rm "$container" >/dev/null' EXIT
buildah config --workingdir "$workdir" "$container"
entry=$(buildah inspect --type image --format '{{index .Docker.Config.Entrypoint 0}}' "$image")
# As with docker, what is in the container belongs to no terminal; this hands signals on to it
setsid buildah run "${options[@]}" "$container" -- "$entry" "$@" &
child=$!

# first_inside: the first process below ours that is not buildah's own.
first_inside() {
    local pid=$child
    while [ -n "$pid" ]; do
        case $(readlink "/proc/$pid/exe") in
        */buildah | /memfd:buildah*) pid=$(pgrep --parent "$pid" | head -n 1) ;;
        *)
            echo "$pid"
            return
            ;;
        esac
    done
}

for name in INT TERM; do
    # shellcheck disable=SC2064
    trap "kill -$name \"\$(first_inside)\"" "$name"
done
code=0
wait "$child" || code=$?
# `wait` ends early when a signal comes
while kill -0 "$child" 2>/dev/null; do
    code=0
    wait "$child" || code=$?
done
exit "$code"
