# One image for every role of Modelwright: the role is the command, such as `node api/main.ts`.
FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM python:3.11-slim-bookworm AS trainer
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev binutils && rm -rf /var/lib/apt/lists/*
COPY trainer/requirements.txt /build/requirements.txt
COPY infra/local/python /build/python
RUN python -m venv /opt/trainer && /opt/trainer/bin/pip install --no-deps --no-cache-dir -r /build/requirements.txt \
  && /opt/trainer/bin/python /build/python/cuda_stand_ins.py /opt/trainer/lib/python3.11/site-packages
COPY trainer /build/trainer
COPY infra/images/base-models.sh /build/
RUN PYTHONPATH=/build/trainer sh /build/base-models.sh /opt/models /opt/trainer/bin/python

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 modelwright
COPY --from=packages /usr/local/bin/node /usr/local/bin/node
COPY --from=trainer /opt/trainer /opt/trainer
COPY --from=trainer /opt/models /opt/models
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY . .
ENV NODE_ENV=production MW_HOME=/var/lib/modelwright MW_BIND=0.0.0.0 MW_TRAINER_PYTHON=/opt/trainer/bin/python MW_MODELS_DIR=/opt/models
RUN mkdir -p /var/lib/modelwright && chown modelwright /var/lib/modelwright
USER modelwright
CMD ["node", "api/main.ts"]
