-- What the watch of the sensing remembers over a restart: identity of the source, topics that were read, connectors that had a position.
CREATE TABLE modelwright_control.sensing_marks (
  subject    VARCHAR(255) NOT NULL PRIMARY KEY,
  mark       JSON         NOT NULL,
  updated_at DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)) ON UPDATE CURRENT_TIMESTAMP(6)
);

-- How often the source's log was reset: GTIDs of an earlier epoch are used again for other transactions. No row: never.
CREATE TABLE modelwright_control.log_epochs (
  epoch        INT UNSIGNED    NOT NULL PRIMARY KEY,
  -- The condition that found the reset: raising twice for one raises once.
  condition_id BIGINT UNSIGNED NOT NULL UNIQUE,
  raised_at    DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6))
);

-- Tenants that were told to compare their tables because of a condition: a healing that was cut off goes on with the others.
CREATE TABLE modelwright_control.sensing_reconciliations (
  condition_id BIGINT UNSIGNED NOT NULL,
  tenant_id    VARCHAR(64)     NOT NULL,
  told_at      DATETIME(6)     NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  PRIMARY KEY (condition_id, tenant_id)
);
