-- The captured database: Debezium reads its binary log, and only from there does the training side learn of changes.
CREATE DATABASE IF NOT EXISTS modelwright CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin;

CREATE TABLE modelwright.customizations (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  name             VARCHAR(200) NOT NULL,
  business_model   VARCHAR(64)  NOT NULL,
  options          JSON         NOT NULL,
  policy           JSON         NOT NULL,
  schema_policy    VARCHAR(32)  NOT NULL DEFAULT 'hold',
  source           JSON         NULL,
  -- Salt of the sticky train/evaluation split: fixed at creation, so that a row never moves.
  split_salt       CHAR(32)     NOT NULL,
  -- 'active' | 'paused'; a deleted customization has no row.
  state            VARCHAR(16)  NOT NULL DEFAULT 'active',
  created_at       DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  updated_at       DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (tenant_id, customization_id)
);

CREATE TABLE modelwright.examples (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  example_id       VARCHAR(128) NOT NULL,
  -- First byte of SHA-256 of the example id: the finest dataset bucket (bucketOf in platform/hash.ts is the same function).
  bucket           SMALLINT UNSIGNED GENERATED ALWAYS AS (CAST(CONV(SUBSTR(SHA2(example_id, 256), 1, 2), 16, 10) AS UNSIGNED)) STORED NOT NULL,
  -- The example without its id, in the shape of the business model's example schema. Never leaves MySQL by the change topics.
  content          JSON         NOT NULL,
  created_at       DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  updated_at       DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  -- Clustered by bucket: re-reading one dirty bucket is one range scan.
  PRIMARY KEY (tenant_id, customization_id, bucket, example_id)
);
