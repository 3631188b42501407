#!/usr/bin/env bash
# `make compose-demo`: from nothing to films on the screen, in containers. Leaves nothing running, and no volume.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${1:-python}

# A project of its own, so that the data of `make compose-up` stay as they are.
export COMPOSE_PROJECT_NAME=recmesh-demo
offset=${RECMESH_PORT_OFFSET:-0}
export RECMESH_AUTH_PORT=$((50051 + offset))
export RECMESH_CATALOG_PORT=$((50052 + offset))
export RECMESH_RECOMMENDER_PORT=$((50053 + offset))
# Any user that is not root will do, so it is any.
export RECMESH_USER=$((RANDOM + 20000)):$((RANDOM + 20000))

deploy/docker/build.sh
"$python" -m localmesh secrets deploy/docker/secrets
trap 'docker compose down --volumes --remove-orphans' EXIT
echo "Starting the containers; those of ours as user $RECMESH_USER."
docker compose up --detach --wait --wait-timeout 300 || { docker compose logs --tail 20; exit 1; }

export RECMESH_AUTH_TARGET=127.0.0.1:$RECMESH_AUTH_PORT
export RECMESH_CATALOG_TARGET=127.0.0.1:$RECMESH_CATALOG_PORT
export RECMESH_RECOMMENDER_TARGET=127.0.0.1:$RECMESH_RECOMMENDER_PORT
RECMESH_ADMIN_EMAIL=$(<deploy/docker/secrets/auth/RECMESH_ADMIN_EMAIL)
RECMESH_ADMIN_PASSWORD=$(<deploy/docker/secrets/auth/RECMESH_ADMIN_PASSWORD)
export RECMESH_ADMIN_EMAIL RECMESH_ADMIN_PASSWORD
"$python" -m demo
