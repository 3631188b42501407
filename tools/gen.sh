#!/usr/bin/env bash
# Generates libs/stubs from protos/. Arguments: [folder to write to], default libs/stubs.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-libs/stubs}
bin=${VENV:-.venv}/bin
tools/googleapis.sh

rm -rf "$out/recmesh"
mkdir -p "$out"
"$bin/python" -m grpc_tools.protoc -Iprotos -I.local/googleapis \
  --plugin=protoc-gen-mypy="$bin/protoc-gen-mypy" --plugin=protoc-gen-mypy_grpc="$bin/protoc-gen-mypy_grpc" \
  --python_out="$out" --grpc_python_out="$out" \
  --mypy_out=quiet:"$out" --mypy_grpc_out=quiet,generate_concrete_servicer_stubs:"$out" \
  $(find protos/recmesh -name '*.proto' | sort)
# Only services need the gRPC half.
grep -L 'class .*Servicer' "$out"/recmesh/*/v1/*_pb2_grpc.py | while read -r empty; do rm "$empty" "${empty}i"; done
touch "$out/recmesh/py.typed"
