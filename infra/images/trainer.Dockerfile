# The image that trainings run in on a cluster, for people with a registry; the development cluster builds the same without one (trainer-image.ts).
#   docker build -f infra/images/trainer.Dockerfile -t registry.example.com/modelwright/trainer:1 .
# With --build-arg TORCH=cuda it computes on GPUs: the same versions, with the libraries of NVIDIA that PyTorch asks for.
ARG TORCH=cpu

# The CPU's packages and the base models, by the very code of `./mw up`.
FROM node:24-bookworm-slim AS provision
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv gcc libc6-dev binutils && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
COPY . .
ENV MW_CACHE_DIR=/opt/cache MW_MODELS_DIR=/opt/models
RUN node infra/images/provision.ts \
  && mv /opt/cache/trainer-env-*/lib/python3.11/site-packages /opt/packages \
  && find /opt/models -name '*.onnx' -delete

FROM python:3.11-slim-bookworm AS packages-cpu
COPY --from=provision /opt/packages /opt/modelwright/site-packages

FROM python:3.11-slim-bookworm AS packages-cuda
COPY trainer/requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir --target /opt/modelwright/site-packages -r /tmp/requirements.txt

FROM packages-${TORCH} AS packages
COPY trainer/modelwright_trainer /opt/modelwright/trainer/modelwright_trainer
COPY infra/images/python/compile_imports.py /tmp/compile_imports.py
# At run time nothing can be written: what a training imports is compiled here.
RUN PYTHONPATH=/opt/modelwright/trainer:/opt/modelwright/site-packages PYTHONDONTWRITEBYTECODE=1 \
  python3 /tmp/compile_imports.py /tmp/compiled packages=/opt/modelwright/site-packages \
  && cp -r /tmp/compiled/packages/. /opt/modelwright/site-packages/ && rm -r /tmp/compiled

FROM python:3.11-slim-bookworm
RUN mkdir -p /opt/modelwright/python/bin /work && ln -s /usr/local/bin/python3 /opt/modelwright/python/bin/python3
COPY --from=packages /opt/modelwright/site-packages /opt/modelwright/site-packages
COPY --from=provision /opt/models /opt/modelwright/models
COPY trainer/modelwright_trainer /opt/modelwright/trainer/modelwright_trainer
COPY catalog /opt/modelwright/catalog
ENV PATH=/opt/modelwright/python/bin:/usr/local/bin:/usr/bin:/bin \
  PYTHONPATH=/opt/modelwright/trainer:/opt/modelwright/site-packages \
  PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8 HOME=/work TMPDIR=/work ORT_DISABLE_TELEMETRY=1
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["/opt/modelwright/python/bin/python3", "-m", "modelwright_trainer"]
