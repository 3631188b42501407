#!/usr/bin/env bash
# Everything that can be said about the tree without running it. Arguments: folders to lint, mypy's packages.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
say() { printf '\n== %s\n' "$1"; }

say 'ruff'
# shellcheck disable=SC2086
"$bin/ruff" check $1
# shellcheck disable=SC2086
"$bin/ruff" format --check $1
say 'mypy --strict'
# shellcheck disable=SC2086
"$bin/mypy" $2
"$bin/mypy" demo bench chaos tests conftest.py deploy/docker/*.py libs/*/tests services/*/tests sdk/*/tests apps/*/tests tools/*/tests
say 'import contracts'
"$bin/lint-imports" --no-logo 2>/dev/null || "$bin/lint-imports"
say 'contract: lint and breaking changes'
tools/googleapis.sh
"$bin/buf" lint
"$bin/buf" format --diff --exit-code protos >/dev/null || { echo 'protos/ is not formatted: .venv/bin/buf format -w protos'; exit 1; }
tools/contract.sh
say 'generated code'
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
tools/gen.sh "$fresh"
diff -r -x __pycache__ "$fresh/recmesh" libs/stubs/recmesh || { echo 'libs/stubs is not what protos/ says: run make gen and commit it'; exit 1; }
say 'manifests, workflows, compose file'
"$bin/python" -m manifests render
"$bin/python" -m manifests files
echo 'make check: all good'
