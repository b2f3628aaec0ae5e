-- divisi_append once more, with the same promises: one event alone without arrays, many of them as sets. Half of the time of many went
-- into statements an event, and much of the rest into the question where a lane ends: an index answers it by reading a whole page
-- backwards. Who appends says where it believes the end to be, and only what lies behind is read; what it says is never trusted.
-- Processes of the version before go on with the function of their own. Applied once, checksummed: this text never changes;
-- a change is a new file.

-- Which life this is: another after a promotion, which begins a timeline, and at every start of the server, since its files may have
-- been put back to an older copy while it did not run. It no longer names the cluster: the server reads its control file for that
-- at each call, and no two servers started in the same microsecond. What was noted before stays valid.
DO $$ BEGIN
  UPDATE divisi_meta SET db_identity = substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '/' || (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint
    WHERE db_identity = divisi_identity();
END $$;
CREATE OR REPLACE FUNCTION divisi_identity() RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '/' || (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint
$$;

-- Numbers one event and appends it, as the last statement of a transaction before COMMIT: position, epoch, time.
CREATE FUNCTION divisi_append_one(p_topic text, p_lane int, p_end bigint, p_type text, p_schema int,
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
    FROM divisi_meta m WHERE m.db_identity = divisi_identity()
    RETURNING a.pos, a.epoch, a.at INTO v_pos, v_epoch, v_at;
  IF v_pos IS NULL THEN
    RAISE EXCEPTION 'this database went back in time or was copied: a new epoch must begin' USING ERRCODE = 'DV001';
  END IF;
  RETURN ARRAY[v_pos, v_epoch, v_at];
END $$;

-- Numbers events and appends them, the same way. Each lane comes once, and p_of says of each event which lane it is for, from 1 on.
CREATE FUNCTION divisi_append(p_topic text[], p_lane int[], p_end bigint[], p_of int[], p_type text[], p_schema int[],
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
  SELECT m.epoch, divisi_now() INTO v_epoch, v_at FROM divisi_meta m WHERE m.db_identity = divisi_identity();
  IF v_epoch IS NULL THEN
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
