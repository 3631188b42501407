# The image of the worker: the only one with torch. `make images` builds it; see README.md beside.
ARG BASE=python:3.11-slim-bookworm
# The same Python, with `strip`; nothing of it is in the image.
ARG BUILDER=python:3.11-bookworm

# What pip may need besides an index (certificates, wheels): the build context `pip`, there while building and no longer.
FROM scratch AS pip

FROM ${BUILDER} AS sources
WORKDIR /src
COPY deploy/docker/requirements.py ./
COPY libs libs
COPY services/worker services/worker
RUN python requirements.py services/worker /needs

FROM ${BUILDER} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_ONLY_BINARY=:all: PIP_ROOT_USER_ACTION=ignore
ARG PIP_INDEX_URL
COPY constraints.txt /

# The packages of others: a layer that changes with their versions only.
FROM builder AS others
RUN python -m venv --without-pip /opt/recmesh \
    && echo /opt/packages > "$(/opt/recmesh/bin/python -c 'import site; print(site.getsitepackages()[0])')/recmesh.pth"
# torch first and alone, a build for the CPU: nothing later asks for another.
ARG TORCH_INDEX
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=bind,from=pip,target=/run/pip \
    --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/recmesh/bin/python install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -c /constraints.txt torch \
    && /opt/recmesh/bin/python -c 'import sys, torch; sys.exit(torch.version.cuda and "This torch is a build for CUDA: TORCH_INDEX has to name an index of builds for the CPU.")'
COPY --from=sources /needs/others.txt /
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=bind,from=pip,target=/run/pip \
    --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/recmesh/bin/python install -c /constraints.txt -r /others.txt
COPY deploy/docker/trim.py /
RUN find /opt/recmesh/bin -type f -delete \
    && python /trim.py /opt/recmesh/lib '**/torch/include/' '**/torch/share/' '**/torch/test/' '**/onnx/backend/test/' \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x /torch/testing/_internal/ /opt/recmesh/lib

# Ours.
FROM builder AS own
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=bind,from=pip,target=/run/pip \
    --mount=type=cache,target=/root/.cache/pip \
    python -m pip install -c /constraints.txt hatchling
COPY --from=sources /needs/own.txt /needs/
COPY --from=sources /src /src
WORKDIR /src
RUN python -m pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels -r /needs/own.txt \
    && python -m pip install --no-deps --no-index --target /opt/packages /wheels/*.whl \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/packages

FROM ${BASE}
COPY --from=others /opt/recmesh /opt/recmesh
COPY --from=own /opt/packages /opt/packages
# Nothing is written; what stands in the folder that a process starts in is not imported.
ENV PATH=/opt/recmesh/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1
# Nothing is fetched; and several workers share the cores, so that idle threads must not spin.
ENV HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE TOKENIZERS_PARALLELISM=false
WORKDIR /
USER 10001:10001
ENTRYPOINT ["python", "-m", "recmesh_worker"]
ARG VERSION
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="recmesh/worker" \
      org.opencontainers.image.description="Recmesh: the worker, which computes recommendations" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0"
