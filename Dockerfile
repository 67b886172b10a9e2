# The project on Airflow's official image. Build it with: docker build -t denodo-scheduler-ha .
ARG AIRFLOW_IMAGE=apache/airflow:3.3.2
FROM ${AIRFLOW_IMAGE}
# The version is that of pyproject.toml, the revision a commit: --build-arg REVISION=$(git rev-parse HEAD)
ARG AIRFLOW_IMAGE
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="airflow-denodo-scheduler-ha" \
    org.opencontainers.image.description="Airflow, with high availability of pairs of Denodo Scheduler servers" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.source="https://github.com/denodo-scheduler-ha/airflow-denodo-scheduler-ha" \
    org.opencontainers.image.documentation="https://denodo-scheduler-ha.github.io/airflow-denodo-scheduler-ha/" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="${AIRFLOW_IMAGE}"
USER airflow
WORKDIR /opt/airflow
# Nothing is compiled here, which saves a quarter of what is added to the base; Python compiles the modules that a component
# imports when it starts.
RUN --mount=type=bind,source=requirements.txt,target=/tmp/requirements.txt \
    --mount=type=bind,source=requirements-image.txt,target=/tmp/requirements-image.txt \
    pip install --no-compile --no-cache-dir --require-hashes -r /tmp/requirements.txt -r /tmp/requirements-image.txt
COPY --chown=airflow:root pyproject.toml README.md LICENSE mkdocs.yml ./
COPY --chown=airflow:root dags dags
COPY --chown=airflow:root plugins plugins
COPY --chown=airflow:root include include
COPY --chown=airflow:root docs docs
# The folder of the snapshots exists, so that a volume there belongs to the user who writes them.
RUN pip install --no-cache-dir --no-deps --editable . --editable include && mkdir -p denodo_ha
