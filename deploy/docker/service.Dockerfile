# The image of one service, SERVICE: auth, catalog or recommender. `make images` builds it; see README.md beside.
ARG BASE=python:3.11-slim-bookworm
# The same Python, with `strip`; nothing of it is in the image.
ARG BUILDER=python:3.11-bookworm
ARG SERVICE

# What pip may need besides an index (certificates, wheels): the build context `pip`, there while building and no longer.
FROM scratch AS pip

FROM ${BUILDER} AS sources
ARG SERVICE
WORKDIR /src
COPY deploy/docker/requirements.py ./
COPY libs libs
COPY services/${SERVICE} services/${SERVICE}
RUN python requirements.py services/${SERVICE} /needs

FROM ${BUILDER} AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_ONLY_BINARY=:all: PIP_ROOT_USER_ACTION=ignore
ARG PIP_INDEX_URL
COPY constraints.txt /

# The packages of others: a layer that changes with their versions only.
FROM builder AS others
RUN python -m venv --without-pip /opt/recmesh \
    && echo /opt/packages > "$(/opt/recmesh/bin/python -c 'import site; print(site.getsitepackages()[0])')/recmesh.pth"
COPY --from=sources /needs/others.txt /
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=bind,from=pip,target=/run/pip \
    --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/recmesh/bin/python install -c /constraints.txt -r /others.txt
COPY deploy/docker/trim.py /
RUN find /opt/recmesh/bin -type f -delete \
    && python /trim.py /opt/recmesh/lib \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/recmesh/lib

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

FROM ${BASE} AS image
COPY --from=others /opt/recmesh /opt/recmesh
COPY --from=own /opt/packages /opt/packages
# Nothing is written; what stands in the folder that a process starts in is not imported.
ENV PATH=/opt/recmesh/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1
WORKDIR /
USER 10001:10001

# In exec form nothing is put in: an entry each.
FROM image AS auth
ENTRYPOINT ["python", "-m", "recmesh_auth"]

FROM image AS catalog
ENTRYPOINT ["python", "-m", "recmesh_catalog"]

FROM image AS recommender
ENTRYPOINT ["python", "-m", "recmesh_recommender"]

FROM ${SERVICE}
ARG SERVICE
ARG VERSION
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="recmesh/${SERVICE}" \
      org.opencontainers.image.description="Recmesh: the ${SERVICE} service" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0"
