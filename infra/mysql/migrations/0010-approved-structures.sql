-- The structure that a customization's datasets may be read with: what the last one was read with, or what a policy or a person accepted since.
CREATE TABLE modelwright_control.approved_structures (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  table_name       VARCHAR(130) NOT NULL,
  schema_version   INT UNSIGNED NOT NULL,
  columns          JSON         NOT NULL,
  approved_at      DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (tenant_id, customization_id)
);
