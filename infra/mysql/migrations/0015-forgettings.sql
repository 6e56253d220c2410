-- Rows that are to be forgotten, and how far that is: one row a request. Nothing here is a row's text.
CREATE TABLE modelwright_control.forgettings (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  number           INT UNSIGNED NOT NULL,
  -- 'waiting' | 'blocked' | 'removing' | 'done'
  state            VARCHAR(16)  NOT NULL DEFAULT 'waiting',
  -- Sentences: what it waits for.
  waits_for        JSON         NOT NULL DEFAULT (JSON_ARRAY()),
  -- NULL once it is done: the certificate has their digests.
  example_ids      JSON         NULL,
  examples         INT UNSIGNED NOT NULL,
  salt             CHAR(32)     NOT NULL,
  -- Salted digests of the texts, and what finds their place in raw bytes (store/raw-search.ts). NULL once it is done.
  needles          JSON         NULL,
  -- By number of the dataset: whether it holds one of the rows.
  datasets         JSON         NOT NULL DEFAULT (JSON_OBJECT()),
  withdrawn        JSON         NOT NULL DEFAULT (JSON_OBJECT('versions', JSON_ARRAY(), 'datasets', JSON_ARRAY())),
  reason           VARCHAR(500) NULL,
  asked_by         VARCHAR(128) NOT NULL,
  asked_at         DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  deadline_at      DATETIME(6)  NOT NULL,
  certificate      JSON         NULL,
  ended_at         DATETIME(6)  NULL,
  PRIMARY KEY (tenant_id, customization_id, number),
  KEY unended (ended_at, tenant_id, customization_id, number)
);

-- Objects that a forgetting removes from the store, noted before they go: predictors drop them from their caches too.
CREATE TABLE modelwright_control.forgotten_objects (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  number           INT UNSIGNED NOT NULL,
  object_key       VARCHAR(512) NOT NULL,
  sha256           CHAR(64)     NULL,
  bytes            BIGINT UNSIGNED NOT NULL,
  removed_at       DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (tenant_id, customization_id, number, object_key),
  KEY by_time (removed_at)
);
