#!/usr/bin/env bash
# Build the image pydicom-batch; more arguments go to the builder:
#
#   bin/build-docker-container.sh [--build-arg BASE=IMAGE] [ARGUMENT...]
#
# PYDICOMBATCH_ENGINE  docker, podman or buildah; by default the first of them that is here
# PYDICOMBATCH_IMAGE   another name for the image
# PIP_CONFIG_FILE      pip's configuration while it builds; it does not get into the image
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=bin/_container.sh
. "$here/bin/_container.sh"

find_engine docker podman buildah
arguments=(build --tag "$IMAGE")
[ -z "${PIP_CONFIG_FILE:-}" ] || arguments+=(--secret "id=pip,src=$PIP_CONFIG_FILE")
case ${ENGINE##*/} in
# Their own format has no room for a health check
podman | buildah) arguments+=(--format docker) ;;
# Secrets are known to BuildKit alone
*) export DOCKER_BUILDKIT=1 ;;
esac
exec "$ENGINE" "${arguments[@]}" "$@" "$here"
