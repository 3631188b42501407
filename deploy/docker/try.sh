#!/usr/bin/env bash
# Tries images: deploy/docker/try.sh [auth] [catalog] [recommender] [worker]; without names, all four. Each has to load what
# it runs with a read-only root (but /tmp), no capabilities, no network and any user, and to be as small as promised.
set -euo pipefail
cd "$(dirname "$0")"
. ./images.sh
services_most=250 worker_most=1600 # in millions of bytes

for name in "${@:-${all[@]}}"; do
    image=$(image "$name")
    user=$((RANDOM + 20000)):$((RANDOM + 20000))
    docker run --rm --interactive --pull never --read-only --cap-drop ALL --security-opt no-new-privileges \
        --network none --tmpfs /tmp --user "$user" --entrypoint python "$image" - "$name" <inside.py
    size=$(($(docker image inspect --format '{{.Size}}' "$image") / 1000000))
    echo "$image: $size MB, tried as $user"
    most=$services_most
    if [ "$name" = worker ]; then most=$worker_most; fi
    if [ "$size" -ge "$most" ]; then echo "$image is not to have $most MB" >&2 && exit 1; fi
done
