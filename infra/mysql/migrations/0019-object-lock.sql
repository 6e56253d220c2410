-- Until when the store keeps what a promoted version consists of from being deleted; NULL: it was never locked. Set once all of it is locked.
ALTER TABLE modelwright_control.model_versions
  ADD COLUMN locked_until DATETIME(6) NULL,
  -- Repairs since then, which may have written an object anew without its lock
  ADD COLUMN lock_repairs INT UNSIGNED NOT NULL DEFAULT 0;

-- What a forgetting could not remove, for object lock holds it; NULL: it was removed.
ALTER TABLE modelwright_control.forgotten_objects ADD COLUMN locked_until DATETIME(6) NULL;
