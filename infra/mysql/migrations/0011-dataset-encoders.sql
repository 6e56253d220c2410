-- The encoder that the models of a dataset start from, and why: {name, digest, languages, why}. NULL in datasets from before it was chosen by language.
ALTER TABLE modelwright_control.datasets ADD COLUMN base_model JSON NULL;
