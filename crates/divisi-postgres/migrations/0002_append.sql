-- divisi_append with the same promises in a tenth of its time: one statement for all lanes, with its joins of arrays, cost most of
-- it. Now each lane and each event has small statements, whose plans a session keeps. Applied once, checksummed: this text
-- never changes; a change is a new file.

-- Which life of which cluster this is, as before; in plpgsql, which keeps its plan.
CREATE OR REPLACE FUNCTION divisi_identity() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN (SELECT system_identifier FROM pg_control_system())::text || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
    || '/' || (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint;
END $$;

CREATE OR REPLACE FUNCTION divisi_append(p_topic text[], p_lane int[], p_type text[], p_schema int[],
                              p_key text[], p_headers text[], p_payload bytea[])
RETURNS TABLE (ord bigint, pos bigint, epoch bigint, at bigint) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  n int := array_length(p_topic, 1);
  v_order int[]; v_floor bigint[]; i int; k int;
  v_topic text; v_lane int; v_end bigint; v_epoch bigint; v_now bigint;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'divisi_append needs READ COMMITTED' USING ERRCODE = 'DV002';
  END IF;
  IF n = 1 THEN
    v_order := '{1}';
  ELSE
    SELECT array_agg(o ORDER BY t, l, o) INTO v_order FROM unnest(p_topic, p_lane) WITH ORDINALITY u(t, l, o);
  END IF;
  -- In order, and nothing is locked behind them but by COMMIT: no deadlocks.
  v_topic := NULL;
  FOR k IN 1 .. n LOOP
    i := v_order[k];
    IF v_topic IS NULL OR p_topic[i] <> v_topic OR p_lane[i] <> v_lane THEN
      v_topic := p_topic[i]; v_lane := p_lane[i];
      PERFORM 1 FROM divisi_lane x WHERE x.topic = v_topic AND x.lane = v_lane FOR NO KEY UPDATE;
      IF NOT FOUND THEN
        RAISE EXCEPTION 'a topic was not declared when the store was opened' USING ERRCODE = 'DV003';
      END IF;
    END IF;
  END LOOP;
  -- Behind the locks: who begins an epoch holds them all, and a statement sees what was committed before it.
  SELECT m.epoch INTO v_epoch FROM divisi_meta m WHERE m.db_identity = divisi_identity();
  IF v_epoch IS NULL THEN
    RAISE EXCEPTION 'this database went back in time or was copied: a new epoch must begin' USING ERRCODE = 'DV001';
  END IF;
  -- A COMMIT that waits for a standby must not be cut short: it would be acknowledged without it.
  PERFORM set_config('statement_timeout', '0', true);
  v_now := divisi_now();
  v_topic := NULL;
  FOR k IN 1 .. n LOOP
    i := v_order[k];
    IF v_topic IS NULL OR p_topic[i] <> v_topic OR p_lane[i] <> v_lane THEN
      v_topic := p_topic[i]; v_lane := p_lane[i];
      SELECT o.pos INTO v_end FROM divisi_outbox o WHERE o.topic = v_topic AND o.lane = v_lane ORDER BY o.pos DESC LIMIT 1;
      IF NOT FOUND THEN
        SELECT x.floor_pos INTO v_end FROM divisi_lane x WHERE x.topic = v_topic AND x.lane = v_lane;
      END IF;
    END IF;
    v_end := v_end + 1;
    INSERT INTO divisi_outbox (topic, lane, pos, epoch, type, schema_v, key, headers, payload, at)
      VALUES (v_topic, v_lane, v_end, v_epoch, p_type[i], p_schema[i], p_key[i], p_headers[i], p_payload[i], v_now);
    ord := i; pos := v_end; epoch := v_epoch; at := v_now;
    RETURN NEXT;
  END LOOP;
END $$;
