-- Where objects of tenants lie in the store. It outlives the tenant: its objects go later, and an id may be given again.
CREATE TABLE modelwright_control.tenant_placements (
  tenant_id    VARCHAR(64)  NOT NULL PRIMARY KEY,
  -- A name of MW_PLACEMENTS; NULL: the default
  placement    VARCHAR(32)  NULL,
  -- The bucket of that placement when the tenant was placed; NULL: the store's own
  bucket       VARCHAR(63)  NULL,
  -- Since then something may be stored there, and it does not change any more; NULL: nothing was ever stored
  stored_since DATETIME(6)  NULL
);

INSERT INTO modelwright_control.tenant_placements (tenant_id, stored_since)
SELECT found.tenant_id, UTC_TIMESTAMP(6) FROM (
  SELECT tenant_id FROM modelwright_control.runs
  UNION SELECT tenant_id FROM modelwright_control.datasets
  UNION SELECT tenant_id FROM modelwright_control.model_versions
) AS found;
