-- Objects that a site of the store does not have as it should, because it was away when they were written or removed, or had other bytes when they
-- were read. Until the scrub has made it good.
CREATE TABLE modelwright_control.store_owed (
  -- 'first' | 'second'
  site       VARCHAR(16)  NOT NULL,
  object_key VARCHAR(512) NOT NULL,
  -- 'copy': the other site has it | 'removal': it is to go
  what       VARCHAR(16)  NOT NULL,
  reason     VARCHAR(500) NOT NULL,
  since      DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (site, object_key)
);
