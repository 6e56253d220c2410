-- One row: the name of this installation, which its jobs on a cluster carry. Two installations may share a namespace.
CREATE TABLE modelwright_control.installation (
  only_row TINYINT UNSIGNED NOT NULL DEFAULT 1 PRIMARY KEY CHECK (only_row = 1),
  id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL
);
INSERT INTO modelwright_control.installation (id) VALUES (UUID());
