-- The control database: not captured. Everything that the platform itself decides and records.
CREATE DATABASE IF NOT EXISTS modelwright_control CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE TABLE modelwright_control.tenants (
  tenant_id  VARCHAR(64)  NOT NULL PRIMARY KEY,
  name       VARCHAR(200) NOT NULL,
  quotas     JSON         NOT NULL,
  created_at DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6))
);

CREATE TABLE modelwright_control.api_keys (
  key_id     CHAR(16)    NOT NULL PRIMARY KEY,
  key_sha256 BINARY(32)  NOT NULL UNIQUE,
  tenant_id  VARCHAR(64) NOT NULL,
  role       VARCHAR(16) NOT NULL,
  created_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  revoked_at DATETIME(6) NULL,
  KEY by_tenant (tenant_id)
);

CREATE TABLE modelwright_control.idempotency_keys (
  -- '' for the operator's own routes
  tenant_id       VARCHAR(64)  NOT NULL,
  idempotency_key VARCHAR(255) NOT NULL,
  -- SHA-256 of method, path and body
  request_sha256  BINARY(32)   NOT NULL,
  -- NULL while the first request is still being answered
  status          SMALLINT     NULL,
  response        JSON         NULL,
  commit_gtid     VARCHAR(64)  NULL,
  created_at      DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (tenant_id, idempotency_key)
);

-- What the change consumer saw of a transaction, one row a touched customization.
CREATE TABLE modelwright_control.sensed_commits (
  gtid             VARCHAR(64)     NOT NULL,
  tenant_id        VARCHAR(64)     NOT NULL,
  customization_id VARCHAR(64)     NOT NULL,
  inserted         BIGINT UNSIGNED NOT NULL,
  updated          BIGINT UNSIGNED NOT NULL,
  deleted          BIGINT UNSIGNED NOT NULL,
  configured       BOOLEAN         NOT NULL DEFAULT FALSE,
  committed_at     DATETIME(6)     NOT NULL,
  sensed_at        DATETIME(6)     NOT NULL,
  PRIMARY KEY (gtid, tenant_id, customization_id),
  KEY by_customization (tenant_id, customization_id, sensed_at)
);

-- Why no run was started for changes up to a cut (no net change, not enough data, ...).
CREATE TABLE modelwright_control.decisions (
  tenant_id        VARCHAR(64) NOT NULL,
  customization_id VARCHAR(64) NOT NULL,
  decision_key     VARCHAR(128) NOT NULL,
  kind             VARCHAR(32) NOT NULL,
  reason           TEXT        NOT NULL,
  cut              TEXT        NOT NULL,
  decided_at       DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (tenant_id, customization_id, decision_key),
  KEY by_time (tenant_id, customization_id, decided_at)
);

CREATE TABLE modelwright_control.runs (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  number           INT UNSIGNED NOT NULL,
  -- Business key of the request: a retried openRun finds its own row again.
  request_key      VARCHAR(128) NOT NULL,
  state            VARCHAR(16)  NOT NULL,
  trigger_kind     VARCHAR(32)  NOT NULL,
  reason           TEXT         NULL,
  failure_class    VARCHAR(32)  NULL,
  -- Fencing token: only the highest attempt may publish.
  attempt          INT UNSIGNED NOT NULL DEFAULT 1,
  dataset_number   INT UNSIGNED NULL,
  version          INT UNSIGNED NULL,
  progress         JSON         NULL,
  metrics          JSON         NULL,
  verdict          JSON         NULL,
  stages           JSON         NOT NULL DEFAULT (JSON_ARRAY()),
  training_ms      BIGINT UNSIGNED NULL,
  created_at       DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  started_at       DATETIME(6)  NULL,
  ended_at         DATETIME(6)  NULL,
  PRIMARY KEY (tenant_id, customization_id, number),
  UNIQUE KEY by_request (tenant_id, customization_id, request_key)
);

CREATE TABLE modelwright_control.datasets (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  number           INT UNSIGNED NOT NULL,
  run_number       INT UNSIGNED NOT NULL,
  -- Merkle root over the rows: equal digest means equal rows, whatever the cut.
  digest           CHAR(64)     NOT NULL,
  parent_number    INT UNSIGNED NULL,
  cut              TEXT         NOT NULL,
  manifest_key     VARCHAR(512) NOT NULL,
  manifest_sha256  CHAR(64)     NOT NULL,
  manifest_bytes   BIGINT UNSIGNED NOT NULL,
  row_count        BIGINT UNSIGNED NOT NULL,
  built_at         DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (tenant_id, customization_id, number),
  UNIQUE KEY by_run (tenant_id, customization_id, run_number)
);

-- At most one effective training per dataset, options and trainer; `nonce` is '' save for a forced one.
CREATE TABLE modelwright_control.effective_trainings (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  dataset_digest   CHAR(64)     NOT NULL,
  options_digest   CHAR(64)     NOT NULL,
  trainer_digest   CHAR(64)     NOT NULL,
  nonce            VARCHAR(128) NOT NULL DEFAULT '',
  run_number       INT UNSIGNED NOT NULL,
  -- NULL until the training has ended well: a claim of a failed run may be taken over.
  completed_at     DATETIME(6)  NULL,
  PRIMARY KEY (tenant_id, customization_id, dataset_digest, options_digest, trainer_digest, nonce)
);

CREATE TABLE modelwright_control.model_versions (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  version          INT UNSIGNED NOT NULL,
  run_number       INT UNSIGNED NOT NULL,
  attempt          INT UNSIGNED NOT NULL,
  dataset_number   INT UNSIGNED NOT NULL,
  parent           INT UNSIGNED NULL,
  manifest_key     VARCHAR(512) NOT NULL,
  manifest_sha256  CHAR(64)     NOT NULL,
  manifest_bytes   BIGINT UNSIGNED NOT NULL,
  -- Size of all files and shards that the version refers to, and of those that this version was the first to store.
  bytes            BIGINT UNSIGNED NOT NULL,
  stored_bytes     BIGINT UNSIGNED NOT NULL,
  metrics          JSON         NOT NULL,
  verdict          JSON         NOT NULL,
  published_at     DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  withdrawn_at     DATETIME(6)  NULL,
  PRIMARY KEY (tenant_id, customization_id, version),
  UNIQUE KEY by_run (tenant_id, customization_id, run_number)
);

CREATE TABLE modelwright_control.aliases (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  -- 'production' | 'previous' | 'candidate'
  alias            VARCHAR(32)  NOT NULL,
  version          INT UNSIGNED NOT NULL,
  updated_at       DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (tenant_id, customization_id, alias)
);

-- Every change of the production alias, so that a receipt can say since when a version serves.
CREATE TABLE modelwright_control.promotions (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  -- Business key of the request: a retried promotion finds its own row again.
  request_key      VARCHAR(128) NOT NULL,
  version          INT UNSIGNED NOT NULL,
  previous         INT UNSIGNED NULL,
  promoted_at      DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (tenant_id, customization_id, request_key),
  KEY by_time (tenant_id, customization_id, promoted_at)
);

CREATE TABLE modelwright_control.audit (
  audit_id   BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  tenant_id  VARCHAR(64)  NOT NULL,
  actor      VARCHAR(128) NOT NULL,
  action     VARCHAR(64)  NOT NULL,
  detail     JSON         NOT NULL,
  happened_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  KEY by_tenant (tenant_id, happened_at)
);
