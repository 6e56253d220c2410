-- What the care for stored objects decides: versions and datasets whose objects are removed, marked before a byte goes; versions and datasets
-- with an object that is damaged or missing and could not be repaired.
ALTER TABLE modelwright_control.model_versions
  ADD COLUMN removed_at DATETIME(6) NULL, ADD COLUMN damaged_at DATETIME(6) NULL, ADD COLUMN damage TEXT NULL;
ALTER TABLE modelwright_control.datasets
  ADD COLUMN removed_at DATETIME(6) NULL, ADD COLUMN damaged_at DATETIME(6) NULL, ADD COLUMN damage TEXT NULL;

-- Versions that an operator keeps, whatever the retention says.
CREATE TABLE modelwright_control.model_holds (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  version          INT UNSIGNED NOT NULL,
  reason           VARCHAR(500) NULL,
  held_at          DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (tenant_id, customization_id, version)
);

-- Runs that may take over objects of a scope that are there already. Void once the run has ended.
CREATE TABLE modelwright_control.store_leases (
  tenant_id        VARCHAR(64)  NOT NULL,
  customization_id VARCHAR(64)  NOT NULL,
  run_number       INT UNSIGNED NOT NULL,
  scope            VARCHAR(160) NOT NULL,
  taken_at         DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (tenant_id, customization_id, run_number, scope),
  KEY by_scope (scope)
);

-- Scopes in which objects are being removed: until this is over, no run takes a lease there.
CREATE TABLE modelwright_control.store_sweeps (
  scope      VARCHAR(160) NOT NULL PRIMARY KEY,
  round_id   VARCHAR(128) NOT NULL,
  expires_at DATETIME(6)  NOT NULL
);

-- Rounds of collecting garbage and of reading everything, with what they found.
CREATE TABLE modelwright_control.store_rounds (
  round_id    VARCHAR(128) NOT NULL PRIMARY KEY,
  -- 'gc' | 'gc-dry-run' | 'scrub'
  kind        VARCHAR(16)  NOT NULL,
  -- The share of all objects that a scrub reads, of so many.
  share_index INT UNSIGNED NULL,
  share_of    INT UNSIGNED NULL,
  started_at  DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  ended_at    DATETIME(6)  NULL,
  report      JSON         NULL,
  KEY by_time (kind, started_at)
);

-- Objects that did not have the bytes they should have, one row an object: until it is whole again.
CREATE TABLE modelwright_control.store_damages (
  object_key  VARCHAR(512) NOT NULL PRIMARY KEY,
  sha256      CHAR(64)     NOT NULL,
  -- '' for what all tenants share
  tenant_id   VARCHAR(64)  NOT NULL,
  -- 'damaged' | 'missing'
  what        VARCHAR(16)  NOT NULL,
  found_at    DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  -- What it was mended with; NULL: nothing yet.
  repaired_at DATETIME(6)  NULL,
  repaired_from VARCHAR(512) NULL,
  KEY by_tenant (tenant_id)
);
