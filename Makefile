# Every target runs from a bare clone: the environment is made when it is missing and renewed when its pins change.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .local/peers
# The benchmarks start processes beside their channels; gRPC would say so at each.
QUIET_FORKS := GRPC_ENABLE_FORK_SUPPORT=0
PACKAGES := libs/stubs libs/kit libs/jobs services/auth services/catalog services/recommender services/worker sdk/python tools/localmesh tools/manifests
APPS := apps/cli
OWN := libs/kit libs/jobs services sdk apps tools deploy demo bench chaos tests conftest.py
TYPED := -p recmesh_kit -p recmesh_jobs -p recmesh_auth -p recmesh_catalog -p recmesh_recommender -p recmesh_worker -p recmesh_client -p recmesh_cli -p localmesh -p manifests
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: help
help: ## List the targets.
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

# torch first and alone: pip then takes a CPU build where one is offered, and nothing later asks for another.
$(VENV)/.installed: Makefile constraints.txt requirements-dev.txt $(addsuffix /pyproject.toml,$(PACKAGES) $(APPS))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Recmesh needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …'; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo 'Python cannot make a virtual environment: apt-get install python3-venv'; exit 1; }
	@echo 'Setting up $(VENV): a minute or two.'
	@$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(TORCH)
	@$(BIN)/pip install --quiet -c constraints.txt -r requirements-dev.txt
	@$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation $(addprefix -e ,$(PACKAGES)) -e 'apps/cli[parquet]'
	@touch $@

.PHONY: venv
venv: $(VENV)/.installed

.PHONY: gen
gen: venv ## Generate libs/stubs from protos/.
	tools/gen.sh

.PHONY: check
check: venv ## Lint, types, walls, contract and generated code.
	tools/check.sh "$(OWN)" "$(TYPED)"

.PHONY: servers
servers: venv
	@$(BIN)/python -m localmesh install

.PHONY: tools
tools: venv
	@$(BIN)/python -m localmesh fetch prometheus promtool kustomize

.PHONY: test
test: servers tools ## Run all the tests, against a PostgreSQL and a RabbitMQ that it starts itself.
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

.PHONY: test-sdk
test-sdk: servers ## Run the tests of the SDK.
	$(BIN)/python -m pytest sdk -n 2 --dist loadgroup $(ARGS)

.PHONY: test-apps
test-apps: servers ## Run the tests of the apps: the command line.
	$(BIN)/python -m pytest apps -n 2 --dist loadgroup $(ARGS)

.PHONY: up
up: servers ## Start the mesh and leave it running.
	@$(BIN)/python -m localmesh up $(ARGS)

.PHONY: down
down: venv ## Stop the mesh.
	@$(BIN)/python -m localmesh down

.PHONY: restart
restart: venv ## Replace every process of the mesh, one after the other (ARGS="worker catalog" for some).
	@$(BIN)/python -m localmesh restart $(ARGS)

.PHONY: status
status: venv ## Say what of the mesh runs, and where.
	@$(BIN)/python -m localmesh status

.PHONY: k8s-render
k8s-render: venv ## Render every overlay and combination of components, and check what comes out.
	@$(BIN)/python -m manifests render

# By the standard library alone: who asks what has changed need not install everything first.
.PHONY: changed
changed: ## List the services whose image BASE..HEAD touches (BASE=origin/main).
	@PYTHONPATH=tools/manifests $(PYTHON) -m manifests.changed $(or $(BASE),$(error BASE=… is missing))

.PHONY: images
images: ## Build the images (SERVICES="auth worker"; RECMESH_IMAGES, RECMESH_TAG).
	@deploy/docker/build.sh $(SERVICES)

.PHONY: try-images
try-images: ## Try built images (SERVICES="auth worker"): read-only, no rights, any user, size.
	@deploy/docker/try.sh $(SERVICES)

.PHONY: push
push: ## Push the images of SERVICES="…" to where RECMESH_IMAGES says (RECMESH_TAG).
	@for service in $(or $(SERVICES),$(error SERVICES=… is missing)); do docker push "$(or $(RECMESH_IMAGES),$(error RECMESH_IMAGES=… is missing))/$$service:$(or $(RECMESH_TAG),$(error RECMESH_TAG=… is missing))" || exit 1; done

.PHONY: deploy
deploy: ## Put OVERLAY (dev) into the cluster of kubectl's context, with RECMESH_TAG of SERVICES="…" (RECMESH_IMAGES, DRY_RUN=1).
	@PYTHONPATH=tools/manifests $(PYTHON) -m manifests.deploy --overlay $(or $(OVERLAY),dev) --tag "$(RECMESH_TAG)" --images "$(RECMESH_IMAGES)" $(if $(DRY_RUN),--dry-run) $(SERVICES)

.PHONY: hpa-sim
hpa-sim: venv ## Play load curves to the worker's autoscaler as it is shipped, and to other numbers.
	@$(BIN)/python -m bench.hpa_sim $(ARGS)

.PHONY: compose-secrets
compose-secrets: venv ## Make the secrets of docker-compose.yml that are missing.
	@$(BIN)/python -m localmesh secrets deploy/docker/secrets

.PHONY: compose-up
compose-up: images compose-secrets ## Start the mesh in containers and leave it running (RECMESH_WORKERS=2; ARGS="--profile monitoring").
	@docker compose $(ARGS) up --detach --wait

.PHONY: compose-down
compose-down: ## Stop the mesh in containers; its data stay.
	@docker compose --profile monitoring down

.PHONY: compose-demo
compose-demo: venv ## From nothing to recommendations on the screen, in containers; leaves nothing running.
	@deploy/docker/demo.sh $(BIN)/python

.PHONY: k8s-secrets
k8s-secrets: venv ## Make the secrets of deploy/k8s that are missing, of OVERLAY (dev).
	@$(BIN)/python -m localmesh secrets $(ARGS) deploy/k8s/overlays/$(or $(OVERLAY),dev)/secrets

.PHONY: backup
backup: venv ## Write all tables, and the keys, to FILE.
	@$(BIN)/python -m localmesh backup $(or $(FILE),$(error FILE=… is missing))

.PHONY: restore
restore: venv ## Put a backup in the place of all tables, while the mesh is down.
	@$(BIN)/python -m localmesh restore $(ARGS) $(or $(FILE),$(error FILE=… is missing))

.PHONY: demo
demo: servers ## From nothing to recommendations on the screen; leaves nothing running.
	@echo 'Starting PostgreSQL, RabbitMQ, three services and a worker; the first time, all films are embedded.'
	@$(BIN)/python -m localmesh exec -- $(BIN)/python -m demo

.PHONY: bench-e2e
bench-e2e: servers ## Measure Recommend, and Create + Watch, beside the same by hand: the floor.
	@$(QUIET_FORKS) $(BIN)/python -m localmesh exec -- $(BIN)/python -m bench.e2e $(ARGS)

.PHONY: chaos
chaos: servers ## Break the mesh at random under load, and audit what became of every job (ARGS="--seconds 120 --seed 7").
	@$(QUIET_FORKS) $(BIN)/python -m chaos $(ARGS)

.PHONY: soak
soak: servers ## Watch memory, connections and tasks for 15 minutes at half load (ARGS="--seconds 900").
	@$(QUIET_FORKS) $(BIN)/python -m localmesh exec --workers 2 -- $(BIN)/python -m chaos.soak $(ARGS)

# As many calls in hand as are answered within ten seconds: there the texts are long.
.PHONY: bench-overload
bench-overload: servers ## Measure what is served of four times the capacity.
	@$(QUIET_FORKS) RECMESH_MAX_CONCURRENT_CALLS=400 $(BIN)/python -m localmesh exec -- $(BIN)/python -m bench.overload $(ARGS)

# The home-made services have an environment of their own: their packages and ours do not meet.
$(PEERS)/.installed: bench/peers/requirements.txt
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/pip install --quiet -r bench/peers/requirements.txt
	@touch $@

.PHONY: bench-peers
bench-peers: servers $(PEERS)/.installed ## Measure the mesh beside the floor and four home-made services.
	@$(QUIET_FORKS) $(BIN)/python -m localmesh exec -- $(BIN)/python -m bench.peers $(ARGS)

.PHONY: bench-telemetry
bench-telemetry: servers ## Measure what metrics and traces cost.
	@$(QUIET_FORKS) $(BIN)/python -m bench.telemetry $(ARGS)

# No worker: a search needs none, and one would embed the films meanwhile.
.PHONY: bench-search
bench-search: servers ## Measure SearchItems over tens of thousands of films.
	@$(BIN)/python -m localmesh exec --workers 0 -- $(BIN)/python -m bench.search $(ARGS)

.PHONY: bench-import
bench-import: servers ## Measure ImportItems and ImportInteractions.
	@$(BIN)/python -m localmesh exec --workers 0 -- $(BIN)/python -m bench.imports $(ARGS)

.PHONY: bench-rank
bench-rank: venv ## Measure ranking, filters, titles and histories over tens of thousands of films.
	@OMP_NUM_THREADS=1 $(BIN)/python -m bench.rank $(ARGS)

.PHONY: bench-encode
bench-encode: venv ## Measure the encoder beside sentence-transformers: speed and quality.
	@$(BIN)/python -m bench.encode $(ARGS)

.PHONY: bench-start
bench-start: servers ## Measure a worker's start with 10,000 items.
	@$(BIN)/python -m localmesh exec --workers 0 -- $(BIN)/python -m bench.start $(ARGS)

.PHONY: plots
plots: venv ## Draw the latest results of the benchmarks into docs/plots.
	@$(BIN)/python -m bench.plots $(ARGS)

.PHONY: trace-picture
trace-picture: servers ## Draw the trace of one Recommend into docs/plots.
	@$(QUIET_FORKS) $(BIN)/python -m bench.trace_picture $(ARGS)
