#!/usr/bin/env bash
# Builds images: deploy/docker/build.sh [auth] [catalog] [recommender] [worker]; without names, all four.
# README.md beside says what it reads from the environment.
set -euo pipefail
cd "$(dirname "$0")/../.."
. deploy/docker/images.sh

flags=(
    --build-arg "VERSION=$version"
    --build-arg "REVISION=$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || true)"
    --build-arg "SOURCE=$(git config remote.origin.url || true)"
)
for name in BASE BUILDER PIP_INDEX_URL TORCH_INDEX; do
    if [ -n "${!name:-}" ]; then flags+=(--build-arg "$name"); fi
done
if [ -n "${PIP_CONF:-}" ]; then flags+=(--secret "id=pip,src=$PIP_CONF"); fi
if [ -n "${PIP_FOLDER:-}" ]; then flags+=(--build-context "pip=$PIP_FOLDER"); fi
if [ -n "${BUILD_FLAGS:-}" ]; then read -ra more <<<"$BUILD_FLAGS" && flags+=("${more[@]}"); fi

for name in "${@:-${all[@]}}"; do
    case $name in
        worker) recipe=(--file deploy/docker/worker.Dockerfile) ;;
        auth | catalog | recommender) recipe=(--file deploy/docker/service.Dockerfile --build-arg "SERVICE=$name") ;;
        *) echo "there is no image of '$name'" >&2 && exit 2 ;;
    esac
    echo "Building $(image "$name")"
    docker buildx build --load "${recipe[@]}" --tag "$(image "$name")" "${flags[@]}" .
done
