-- The staged outbox: for services whose transactions are stricter than READ COMMITTED, where a number cannot be drawn behind a lock, since
-- the snapshot is older than the lock. Their events are put down as they are, and numbered behind their COMMIT by whoever comes first.
-- A topic is direct or staged, never both. Applied once, checksummed: this text never changes; a change is a new file.

ALTER TABLE divisi_topic ADD staged boolean NOT NULL DEFAULT false;
CREATE TABLE divisi_outbox_staged (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic text NOT NULL, lane int NOT NULL, type text NOT NULL, schema_v int NOT NULL,
  key text NOT NULL, headers text NOT NULL, payload bytea NOT NULL, at bigint NOT NULL DEFAULT divisi_now()
);

-- Moves events from the staged outbox to the log, the oldest first, and brings them with their numbers. An event that is put down later
-- with a smaller seq is of another key: of one key, the later transaction waits for the earlier one's row, or fails.
CREATE FUNCTION divisi_number_staged(p_max int)
RETURNS TABLE (topic text, lane int, pos bigint, epoch bigint, type text, schema_v int, key text, headers text, payload bytea, at bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE v_epoch bigint;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'divisi_number_staged needs READ COMMITTED' USING ERRCODE = 'DV002';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM divisi_outbox_staged) THEN
    RETURN;
  END IF;
  -- All lanes that can have something staged, in order: what another one has moved meanwhile is then not there any more.
  PERFORM 1 FROM divisi_lane x WHERE x.topic IN (SELECT t.topic FROM divisi_topic t WHERE t.staged) ORDER BY x.topic, x.lane FOR NO KEY UPDATE;
  SELECT m.epoch INTO v_epoch FROM divisi_meta m WHERE m.db_identity = divisi_identity();
  IF v_epoch IS NULL THEN
    RAISE EXCEPTION 'this database went back in time or was copied: a new epoch must begin' USING ERRCODE = 'DV001';
  END IF;
  RETURN QUERY
    WITH taken AS (
      DELETE FROM divisi_outbox_staged s WHERE s.seq IN
        (SELECT o.seq FROM divisi_outbox_staged o JOIN divisi_topic t ON t.topic = o.topic AND t.staged ORDER BY o.seq LIMIT p_max)
      RETURNING s.seq, s.topic, s.lane, s.type, s.schema_v, s.key, s.headers, s.payload, s.at),
    ends AS MATERIALIZED (
      SELECT x.topic, x.lane, coalesce(
        (SELECT o.pos FROM divisi_outbox o WHERE o.topic = x.topic AND o.lane = x.lane ORDER BY o.pos DESC LIMIT 1), x.floor_pos) AS e
      FROM divisi_lane x JOIN (SELECT DISTINCT taken.topic, taken.lane FROM taken) d ON d.topic = x.topic AND d.lane = x.lane),
    numbered AS (
      SELECT taken.*, ends.e + row_number() OVER (PARTITION BY taken.topic, taken.lane ORDER BY taken.seq) AS p
      FROM taken JOIN ends ON ends.topic = taken.topic AND ends.lane = taken.lane)
    INSERT INTO divisi_outbox AS a (topic, lane, pos, epoch, type, schema_v, key, headers, payload, at)
      SELECT n.topic, n.lane, n.p, v_epoch, n.type, n.schema_v, n.key, n.headers, n.payload, n.at FROM numbered n ORDER BY n.topic, n.lane, n.p
      RETURNING a.topic, a.lane, a.pos, a.epoch, a.type, a.schema_v, a.key, a.headers, a.payload, a.at;
END $$;
