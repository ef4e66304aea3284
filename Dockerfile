# The program and its locked dependencies on a slim Debian: no compiler, no Java, nothing of root's.
#
#   bin/build-docker-container.sh       builds it as the image pydicom-batch
#   bin/run-docker-extraction.sh CONFIG runs it
ARG BASE=debian:bookworm-slim

# What Python is needs no network of its own in the second stage
FROM ${BASE} AS python
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/*

FROM python AS build
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv \
        gcc libc6-dev libpython3-dev
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
# A registry of the house is named in pip's own configuration, which stays out of the image
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv builder \
    && builder/bin/pip install --quiet --require-hashes --requirement requirements-build.lock \
    && python3 -m venv /opt/pydicombatch \
    && /opt/pydicombatch/bin/pip install --quiet --require-hashes --only-binary :all: \
        --requirement requirements.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY pydicombatch pydicombatch
RUN builder/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir wheels . \
    && /opt/pydicombatch/bin/pip install --quiet --no-deps --no-index wheels/*.whl \
    && /opt/pydicombatch/bin/pip uninstall --quiet --yes setuptools pip \
    && /opt/pydicombatch/bin/python -m compileall -q /opt/pydicombatch

FROM python
COPY --from=build /opt/pydicombatch /opt/pydicombatch
ENV PATH=/opt/pydicombatch/bin:$PATH PYTHONUNBUFFERED=1
# Whoever runs it gives their own with --user; nobody by default, and never root
ARG UID=65534
ARG GID=65534
USER ${UID}:${GID}
# Unhealthy is a run that does not hold its extraction or does not answer on its port
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s --retries=3 \
    CMD [ -z "$PYDICOMBATCH_CONFIG" ] || pydicombatch check --alive "$PYDICOMBATCH_CONFIG"
STOPSIGNAL SIGTERM
ENTRYPOINT ["pydicombatch"]
CMD ["--help"]
