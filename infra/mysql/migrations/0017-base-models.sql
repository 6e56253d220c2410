-- Base models that were pushed to the store by `mw base push`: any worker finds them there, and no garbage collection removes them.
CREATE TABLE modelwright_control.base_models (
  name       VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
  -- Of its files, as in modelwright.json
  digest     CHAR(64)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- [{path, sha256, bytes}], and keys of shards; empty until all of it is in the store
  files      JSON        NOT NULL,
  shard_keys JSON        NOT NULL,
  -- While it is pushed, so that a push that died can be told from one that goes on
  renewed_at DATETIME(6) NOT NULL DEFAULT (UTC_TIMESTAMP(6)),
  pushed_at  DATETIME(6) NULL
);
