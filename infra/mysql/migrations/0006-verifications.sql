-- Results of comparing tables with datasets and digests (invariants I1 and I2), one row a comparison.
CREATE TABLE modelwright_control.verifications (
  tenant_id        VARCHAR(64) NOT NULL,
  customization_id VARCHAR(64) NOT NULL,
  verified_at      DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  cut              TEXT        NOT NULL,
  ok               BOOLEAN     NOT NULL,
  result           JSON        NOT NULL,
  PRIMARY KEY (tenant_id, customization_id, verified_at)
);
