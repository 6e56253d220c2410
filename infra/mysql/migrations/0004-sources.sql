-- Tables of their own that tenants may map, each approved by the operator; the filter, where there is one, is part of the approval.
CREATE TABLE modelwright_control.source_grants (
  tenant_id     VARCHAR(64)  NOT NULL,
  database_name VARCHAR(64)  NOT NULL,
  table_name    VARCHAR(64)  NOT NULL,
  filter_column VARCHAR(64)  NULL,
  filter_value  VARCHAR(255) NULL,
  approved_by   VARCHAR(128) NOT NULL,
  approved_at   DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (tenant_id, database_name, table_name),
  KEY by_table (database_name, table_name)
);

-- Structure of every captured table over time, one row a statement: version 1 is what was met first.
CREATE TABLE modelwright_control.schema_versions (
  database_name VARCHAR(64)  NOT NULL,
  table_name    VARCHAR(64)  NOT NULL,
  version       INT UNSIGNED NOT NULL,
  -- [{name, type, length, scale, charset, nullable, values}] in the table's order; null when the table was dropped or renamed away
  columns       JSON         NULL,
  digest        CHAR(64)     NOT NULL,
  -- '' for a version that was read from the server and not from the log
  gtid          VARCHAR(96)   NOT NULL DEFAULT '',
  log_file      VARCHAR(255) NOT NULL DEFAULT '',
  log_pos       BIGINT UNSIGNED NOT NULL DEFAULT 0,
  ddl           TEXT         NULL,
  seen_at       DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (database_name, table_name, version),
  KEY by_position (database_name, table_name, gtid, log_file, log_pos)
);

-- What each change of structure means for a customization, and who decided what.
CREATE TABLE modelwright_control.schema_changes (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  change_id        VARCHAR(255) NOT NULL,
  table_name       VARCHAR(130) NOT NULL,
  kind             VARCHAR(32)  NOT NULL,
  -- 'recorded' | 'rebuild' | 'held'
  effect           VARCHAR(16)  NOT NULL,
  reason           TEXT         NOT NULL,
  schema_version   INT UNSIGNED NOT NULL,
  gtid             VARCHAR(96)  NOT NULL,
  happened_at      DATETIME(6)  NOT NULL,
  -- With effect 'rebuild': a run is started although no row may differ.
  retrain          BOOLEAN      NOT NULL DEFAULT FALSE,
  -- When the tenant's workflow was told; NULL: it still must be.
  told_at          DATETIME(6)  NULL,
  -- NULL while a held change waits: 'approve' | 'remap' | 'ignore' | 'policy', or 'log' where the log's own account replaced it
  decision         VARCHAR(16)  NULL,
  decided_by       VARCHAR(128) NULL,
  decided_at       DATETIME(6)  NULL,
  -- Business key of the answer: a retried one finds its own rows again.
  decision_key     VARCHAR(128) NULL,
  PRIMARY KEY (tenant_id, customization_id, change_id),
  KEY by_time (tenant_id, customization_id, happened_at),
  KEY untold (told_at, happened_at)
);
