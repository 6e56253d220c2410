-- What is or was wrong with the way from the binary log to the change consumer: one row an occurrence.
CREATE TABLE modelwright_control.sensing_conditions (
  condition_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  code         VARCHAR(64)  NOT NULL,
  -- connector, topic or table that it concerns
  subject      VARCHAR(255) NOT NULL,
  detail       TEXT         NOT NULL,
  remedy       TEXT         NOT NULL,
  -- 'open' | 'healing' | 'healed'
  state        VARCHAR(16)  NOT NULL,
  action       TEXT         NULL,
  detected_at  DATETIME(6)  NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  ended_at     DATETIME(6)  NULL,
  KEY by_state (state, code, subject)
);
