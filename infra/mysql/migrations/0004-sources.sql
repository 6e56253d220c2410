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

-- Structure of every captured table over time: version 1 is what was met first.
CREATE TABLE modelwright_control.schema_versions (
  database_name VARCHAR(64)  NOT NULL,
  table_name    VARCHAR(64)  NOT NULL,
  version       INT UNSIGNED NOT NULL,
  -- [{name, type, nullable, charset, generated}] in the table's order; null when the table was dropped
  columns       JSON         NULL,
  digest        CHAR(64)     NOT NULL,
  -- '' for a version that was read from the server and not from the log
  gtid          VARCHAR(64)  NOT NULL DEFAULT '',
  log_file      VARCHAR(255) NOT NULL DEFAULT '',
  log_pos       BIGINT UNSIGNED NOT NULL DEFAULT 0,
  ddl           TEXT         NULL,
  seen_at       DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (database_name, table_name, version)
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
  gtid             VARCHAR(64)  NOT NULL,
  happened_at      DATETIME(6)  NOT NULL,
  -- NULL while a held change waits: 'approve' | 'remap' | 'ignore' | 'policy'
  decision         VARCHAR(16)  NULL,
  decided_by       VARCHAR(128) NULL,
  decided_at       DATETIME(6)  NULL,
  PRIMARY KEY (tenant_id, customization_id, change_id),
  KEY by_time (tenant_id, customization_id, happened_at)
);
