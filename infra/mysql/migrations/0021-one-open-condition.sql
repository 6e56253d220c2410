-- Of a code and subject, one condition is open at a time, whoever finds it: of two that were opened at once, the later one stays.
UPDATE modelwright_control.sensing_conditions AS a
  JOIN modelwright_control.sensing_conditions AS b
    ON b.code = a.code AND b.subject = a.subject AND b.condition_id > a.condition_id AND b.state <> 'healed'
  SET a.state = 'healed', a.ended_at = UTC_TIMESTAMP(6), a.action = 'it was found twice at once'
  WHERE a.state <> 'healed';
ALTER TABLE modelwright_control.sensing_conditions
  ADD COLUMN open_key CHAR(64) CHARACTER SET ascii GENERATED ALWAYS AS (IF(state = 'healed', NULL, SHA2(CONCAT(code, '/', subject), 256))) STORED,
  ADD UNIQUE KEY one_open (open_key);
