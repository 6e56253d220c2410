-- Since when the changes of a mapped table are captured for a customization. A row whose digest is not that of the mapping, or none: the
-- table must be compared as a whole once its connector runs.
CREATE TABLE modelwright_control.source_capture (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  database_name    VARCHAR(64)  NOT NULL,
  -- SHA-256 of the mapping that was told to the workflow; '' while none was
  source_digest    CHAR(64)     NOT NULL,
  -- 'starting' | 'capturing' | 'failed'
  state            VARCHAR(16)  NOT NULL,
  detail           TEXT         NULL,
  updated_at       DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (tenant_id, customization_id),
  KEY by_database (database_name)
);
