# One image for every role of Modelwright: the role is the command, such as `node api/main.ts`.
FROM node:24-bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv gcc libc6-dev binutils && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
COPY . .
# The trainer's environment and the base encoders, by the very code of `./mw up`.
ENV MW_CACHE_DIR=/opt/modelwright
RUN node infra/images/provision.ts

FROM node:24-bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/* \
  && useradd --create-home --uid 10001 modelwright && mkdir -p /var/lib/modelwright && chown modelwright /var/lib/modelwright
COPY --from=build /opt/modelwright /opt/modelwright
COPY --from=build /app /app
WORKDIR /app
ENV NODE_ENV=production MW_CACHE_DIR=/opt/modelwright MW_HOME=/var/lib/modelwright MW_BIND=0.0.0.0
USER modelwright
CMD ["node", "api/main.ts"]
