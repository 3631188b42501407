#!/usr/bin/env bash
# Holds the contract against the last released one. With the argument `release`, makes today's the released one, unless
# it breaks what callers of the last one rely on.
set -euo pipefail
cd "$(dirname "$0")/.."
buf=${VENV:-.venv}/bin/buf
released=protos/released.binpb
today=.local/contract.binpb
"$buf" build --path protos/recmesh --exclude-source-info -o "$today"
"$buf" breaking "$today" --against "$released" --exclude-imports --config '{"version": "v2", "breaking": {"use": ["FILE"]}}'
[ "${1:-}" != release ] || cp "$today" "$released"
