-- The staged outbox: for services whose transactions are stricter than READ COMMITTED, where a number cannot be drawn behind a lock, since
-- the snapshot is older than the lock. Their events are put down as they are, and numbered behind their COMMIT by whoever comes first.
-- A service is direct or staged, never both: divisi_meta and divisi_gate say which, both ways look there behind their locks, and who
-- changes it holds all of these. Applied once, checksummed: this text never changes; a change is a new file.

ALTER TABLE divisi_meta ADD staged boolean NOT NULL DEFAULT false;
-- What divisi_meta says, once for each of 64 parts of the sessions: whoever stages holds a part's row until COMMIT, and a single row would
-- never be free for who wants to change it.
CREATE TABLE divisi_gate (part int PRIMARY KEY, staged boolean NOT NULL DEFAULT false);
INSERT INTO divisi_gate (part) SELECT generate_series(0, 63);
CREATE TABLE divisi_outbox_staged (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic text NOT NULL, lane int NOT NULL, type text NOT NULL, schema_v int NOT NULL,
  key text NOT NULL, headers text NOT NULL, payload bytea NOT NULL, at bigint NOT NULL DEFAULT divisi_now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_insert_threshold = -1);

-- That of versions 1 and 2, which looks at nothing.
DROP FUNCTION divisi_append(text[], int[], text[], int[], text[], text[], bytea[]);

-- As before; it refuses where events are staged.
CREATE OR REPLACE FUNCTION divisi_append_one(p_topic text, p_lane int, p_end bigint, p_type text, p_schema int,
                                  p_key text, p_headers text, p_payload bytea)
RETURNS bigint[] LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE v_floor bigint; v_pos bigint; v_epoch bigint; v_at bigint; v_off text;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'divisi_append needs READ COMMITTED' USING ERRCODE = 'DV002';
  END IF;
  SELECT x.floor_pos INTO v_floor FROM divisi_lane x WHERE x.topic = p_topic AND x.lane = p_lane FOR NO KEY UPDATE;
  IF v_floor IS NULL THEN
    RAISE EXCEPTION 'a topic was not declared when the store was opened' USING ERRCODE = 'DV003';
  END IF;
  -- A COMMIT that waits for a standby must not be cut short: it would be acknowledged without it.
  v_off := set_config('statement_timeout', '0', true);
  -- Behind the lock: who begins an epoch holds it, and a statement sees what was committed before it.
  INSERT INTO divisi_outbox AS a (topic, lane, pos, epoch, type, schema_v, key, headers, payload, at)
    SELECT p_topic, p_lane, 1 + coalesce(
        (SELECT o.pos FROM divisi_outbox o WHERE o.topic = p_topic AND o.lane = p_lane AND o.pos >= p_end ORDER BY o.pos DESC LIMIT 1),
        (SELECT o.pos FROM divisi_outbox o WHERE o.topic = p_topic AND o.lane = p_lane ORDER BY o.pos DESC LIMIT 1),
        v_floor),
      m.epoch, p_type, p_schema, p_key, p_headers, p_payload, divisi_now()
    FROM divisi_meta m WHERE m.db_identity = divisi_identity() AND NOT m.staged
    RETURNING a.pos, a.epoch, a.at INTO v_pos, v_epoch, v_at;
  IF v_pos IS NULL THEN
    IF EXISTS (SELECT 1 FROM divisi_meta m WHERE m.staged) THEN
      RAISE EXCEPTION 'the events of this service are staged' USING ERRCODE = 'DV004';
    END IF;
    RAISE EXCEPTION 'this database went back in time or was copied: a new epoch must begin' USING ERRCODE = 'DV001';
  END IF;
  RETURN ARRAY[v_pos, v_epoch, v_at];
END $$;

-- As before; it refuses where events are staged.
CREATE OR REPLACE FUNCTION divisi_append(p_topic text[], p_lane int[], p_end bigint[], p_of int[], p_type text[], p_schema int[],
                              p_key text[], p_headers text[], p_payload bytea[],
                              OUT pos bigint[], OUT epoch bigint, OUT at bigint) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE v_floor bigint[]; v_ends bigint[]; v_pos bigint[]; v_epoch bigint; v_at bigint; v_off text; i int; l int;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'divisi_append needs READ COMMITTED' USING ERRCODE = 'DV002';
  END IF;
  -- In order, and nothing is locked behind them but by COMMIT: no deadlocks.
  SELECT array_agg(d.floor_pos ORDER BY d.n) INTO v_floor FROM (
    SELECT x.floor_pos, w.n FROM unnest(p_topic, p_lane) WITH ORDINALITY w(t, l, n)
    JOIN divisi_lane x ON x.topic = w.t AND x.lane = w.l ORDER BY x.topic, x.lane FOR NO KEY UPDATE OF x) d;
  IF coalesce(array_length(v_floor, 1), 0) <> array_length(p_topic, 1) THEN
    RAISE EXCEPTION 'a topic was not declared when the store was opened' USING ERRCODE = 'DV003';
  END IF;
  -- Behind the locks: who begins an epoch holds them all, and a statement sees what was committed before it.
  SELECT m.epoch, divisi_now() INTO v_epoch, v_at FROM divisi_meta m WHERE m.db_identity = divisi_identity() AND NOT m.staged;
  IF v_epoch IS NULL THEN
    IF EXISTS (SELECT 1 FROM divisi_meta m WHERE m.staged) THEN
      RAISE EXCEPTION 'the events of this service are staged' USING ERRCODE = 'DV004';
    END IF;
    RAISE EXCEPTION 'this database went back in time or was copied: a new epoch must begin' USING ERRCODE = 'DV001';
  END IF;
  -- A COMMIT that waits for a standby must not be cut short: it would be acknowledged without it.
  v_off := set_config('statement_timeout', '0', true);
  SELECT array_agg(coalesce(
      (SELECT o.pos FROM divisi_outbox o WHERE o.topic = w.t AND o.lane = w.l AND o.pos >= w.e ORDER BY o.pos DESC LIMIT 1),
      (SELECT o.pos FROM divisi_outbox o WHERE o.topic = w.t AND o.lane = w.l ORDER BY o.pos DESC LIMIT 1),
      w.f) ORDER BY w.n)
    INTO v_ends FROM unnest(p_topic, p_lane, p_end, v_floor) WITH ORDINALITY w(t, l, e, f, n);
  FOR i IN 1 .. array_length(p_of, 1) LOOP
    l := p_of[i];
    v_ends[l] := v_ends[l] + 1;
    v_pos[i] := v_ends[l];
  END LOOP;
  INSERT INTO divisi_outbox (topic, lane, pos, epoch, type, schema_v, key, headers, payload, at)
    SELECT p_topic[u.o], p_lane[u.o], u.p, v_epoch, u.ty, u.sv, u.k, u.h, u.pl, v_at
    FROM unnest(p_of, v_pos, p_type, p_schema, p_key, p_headers, p_payload) u(o, p, ty, sv, k, h, pl);
  pos := v_pos; epoch := v_epoch; at := v_at;
END $$;

-- Puts events down without numbers, as the last statement of a transaction before COMMIT. Topics and lanes come once, as with divisi_append.
CREATE FUNCTION divisi_stage(p_topic text[], p_lane int[], p_of int[], p_type text[], p_schema int[],
                             p_key text[], p_headers text[], p_payload bytea[])
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE v_off text;
BEGIN
  -- Who makes the service direct waits for this lock; a snapshot from before it did fails here as a race that was lost.
  PERFORM 1 FROM divisi_gate g WHERE g.part = pg_backend_pid() % 64 AND g.staged FOR SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the events of this service are not staged' USING ERRCODE = 'DV004';
  END IF;
  IF EXISTS (SELECT 1 FROM unnest(p_topic, p_lane) w(t, l)
             WHERE NOT EXISTS (SELECT 1 FROM divisi_lane x WHERE x.topic = w.t AND x.lane = w.l)) THEN
    RAISE EXCEPTION 'a topic was not declared when the store was opened' USING ERRCODE = 'DV003';
  END IF;
  -- A COMMIT that waits for a standby must not be cut short: it would be acknowledged without it.
  v_off := set_config('statement_timeout', '0', true);
  INSERT INTO divisi_outbox_staged (topic, lane, type, schema_v, key, headers, payload)
    SELECT p_topic[u.o], p_lane[u.o], u.ty, u.sv, u.k, u.h, u.p
    FROM unnest(p_of, p_type, p_schema, p_key, p_headers, p_payload) WITH ORDINALITY u(o, ty, sv, k, h, p, n) ORDER BY u.n;
END $$;

-- Nobody else numbers staged events until the transaction ends. Before any lock on a row.
CREATE FUNCTION divisi_numbers_alone() RETURNS void LANGUAGE sql VOLATILE AS $$
  SELECT pg_advisory_xact_lock(13725042, hashtext(current_database() || '/' || current_schema()))
$$;

-- Moves events from the staged outbox to the log, the oldest first, at most p_max of them and little more than p_bytes, and brings them
-- with their numbers. What is put down by two transactions of which one has seen the other comes in their order: its seq was drawn later.
CREATE FUNCTION divisi_number_staged(p_max int, p_bytes bigint)
RETURNS TABLE (topic text, lane int, pos bigint, epoch bigint, type text, schema_v int, key text, headers text, payload bytea, at bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE v_seqs bigint[]; v_wanted bigint; v_locked bigint; v_epoch bigint; v_off text;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'divisi_number_staged needs READ COMMITTED' USING ERRCODE = 'DV002';
  END IF;
  -- By its index, which begins behind what was numbered.
  PERFORM 1 FROM divisi_outbox_staged s ORDER BY s.seq LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  PERFORM divisi_numbers_alone();
  SELECT array_agg(n.seq) INTO v_seqs FROM (
    SELECT s.seq, sum(s.size) OVER (ORDER BY s.seq) - s.size AS before FROM (
      SELECT o.seq, octet_length(o.payload) + octet_length(o.headers) + octet_length(o.key) AS size
      FROM divisi_outbox_staged o ORDER BY o.seq LIMIT p_max) s) n WHERE n.before < p_bytes;
  IF v_seqs IS NULL THEN
    RETURN;
  END IF;
  -- Retention locks lanes one by one, who begins an epoch all of them, in this order.
  SELECT count(*) INTO v_locked FROM (
    SELECT 1 FROM divisi_lane x WHERE EXISTS
      (SELECT 1 FROM divisi_outbox_staged s WHERE s.seq = ANY (v_seqs) AND s.topic = x.topic AND s.lane = x.lane)
    ORDER BY x.topic, x.lane FOR NO KEY UPDATE OF x) l;
  SELECT count(*) INTO v_wanted FROM (SELECT DISTINCT s.topic, s.lane FROM divisi_outbox_staged s WHERE s.seq = ANY (v_seqs)) l;
  IF v_locked <> v_wanted THEN
    RAISE EXCEPTION 'a staged event is of a topic that is not declared' USING ERRCODE = 'DV003';
  END IF;
  SELECT m.epoch INTO v_epoch FROM divisi_meta m WHERE m.db_identity = divisi_identity();
  IF v_epoch IS NULL THEN
    RAISE EXCEPTION 'this database went back in time or was copied: a new epoch must begin' USING ERRCODE = 'DV001';
  END IF;
  v_off := set_config('statement_timeout', '0', true);
  RETURN QUERY
    WITH taken AS (
      DELETE FROM divisi_outbox_staged s WHERE s.seq = ANY (v_seqs)
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
