-- Commits that the API made itself: a receipt can be shown before the change consumer has seen the commit. Written after the commit; what is missing here is found in sensed_commits.
CREATE TABLE modelwright_control.commits (
  gtid             VARCHAR(64) NOT NULL,
  tenant_id        VARCHAR(64) NOT NULL,
  customization_id VARCHAR(64) NOT NULL,
  committed_at     DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (gtid, tenant_id, customization_id)
);
