#!/usr/bin/env bash
# Lays the google/api and google/rpc protos of googleapis-common-protos into .local/googleapis for protoc and buf.
set -euo pipefail
cd "$(dirname "$0")/.."
site=$("${VENV:-.venv}/bin/python" -c 'import google.api as a, pathlib; print(pathlib.Path(list(a.__path__)[0]).parent)')
rm -rf .local/googleapis
mkdir -p .local/googleapis/google
for package in api rpc; do
  mkdir ".local/googleapis/google/$package"
  cp "$site/$package"/*.proto ".local/googleapis/google/$package/"
done
