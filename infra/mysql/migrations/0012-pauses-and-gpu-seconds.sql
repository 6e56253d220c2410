-- GPU seconds of all attempts, NULL where no GPU was used; and the pause of a run that a person has paused: {sinceMs, by, reason}.
ALTER TABLE modelwright_control.runs ADD COLUMN gpu_seconds DOUBLE NULL, ADD COLUMN paused JSON NULL;
