-- GTIDs with a tag (MySQL 8.3 and later) have up to 88 characters.
ALTER TABLE modelwright_control.commits MODIFY gtid VARCHAR(96) NOT NULL;
ALTER TABLE modelwright_control.idempotency_keys MODIFY commit_gtid VARCHAR(96) NULL;
ALTER TABLE modelwright_control.sensed_commits
  MODIFY gtid VARCHAR(96) NOT NULL,
  -- Buckets that the transaction touched, as in a digest: whether a dataset has really read them. NULL: not known.
  ADD COLUMN buckets CHAR(64) NULL,
  -- Since when a dataset, and a version in production, contain it: set once, when the lag is observed.
  ADD COLUMN dataset_at DATETIME(6) NULL,
  ADD COLUMN serving_at DATETIME(6) NULL,
  ADD KEY by_serving (serving_at, tenant_id, customization_id);

-- Finest buckets that were read for the dataset; the others were taken over from its parent. NULL: all of them.
ALTER TABLE modelwright_control.datasets ADD COLUMN read_buckets CHAR(64) NULL;

-- How far learning is behind the table, one row a customization: written by the orchestrator, read by the API.
CREATE TABLE modelwright_control.lag_states (
  tenant_id            VARCHAR(64) NOT NULL,
  customization_id     VARCHAR(64) NOT NULL,
  measured_at          DATETIME(6) NOT NULL,
  -- Oldest commit that no dataset contains, and that no version in production has learned; NULL: there is none.
  oldest_unlearned_at  DATETIME(6) NULL,
  oldest_unserved_at   DATETIME(6) NULL,
  unlearned_commits    BIGINT UNSIGNED NOT NULL,
  slo_ms               BIGINT UNSIGNED NULL,
  -- 'none' | 'met' | 'burning' | 'missed'
  slo_state            VARCHAR(16) NOT NULL,
  burn_short           DOUBLE NULL,
  burn_long            DOUBLE NULL,
  detail               TEXT NOT NULL,
  PRIMARY KEY (tenant_id, customization_id)
);
