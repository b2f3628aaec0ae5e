-- The framework's own tables, in the schema that the session's search_path names. Applied once, checksummed: this text
-- never changes; a change is a new file. Times are microseconds of the Unix epoch and headers are text, so that one
-- statement serves every dialect and a record comes back byte for byte as it was announced.

-- Whose database it is, and in which life of it.
CREATE TABLE divisi_meta (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  source text NOT NULL, epoch bigint NOT NULL,
  db_identity text NOT NULL                          -- as divisi_identity() said when the epoch began
);
CREATE TABLE divisi_epoch (epoch bigint PRIMARY KEY, began_at bigint NOT NULL);
CREATE TABLE divisi_fork (
  topic text NOT NULL, lane int NOT NULL, epoch bigint NOT NULL, fork bigint NOT NULL,
  PRIMARY KEY (topic, lane, epoch)
);

-- The log.
CREATE TABLE divisi_topic (topic text PRIMARY KEY, lanes int NOT NULL);
CREATE TABLE divisi_lane (                           -- writers only lock its rows
  topic text NOT NULL, lane int NOT NULL, floor_pos bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (topic, lane)
) WITH (fillfactor = 50);
CREATE TABLE divisi_outbox (
  topic text NOT NULL, lane int NOT NULL, pos bigint NOT NULL, epoch bigint NOT NULL,
  type text NOT NULL, schema_v int NOT NULL DEFAULT 1, key text NOT NULL, key_version bigint,
  headers text NOT NULL DEFAULT '{}', payload bytea NOT NULL, at bigint NOT NULL,
  PRIMARY KEY (topic, lane, pos)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
CREATE TABLE divisi_reader (
  reader text NOT NULL, topic text NOT NULL, lane int NOT NULL,
  epoch bigint NOT NULL DEFAULT 0, pos bigint NOT NULL DEFAULT 0, seen_at bigint NOT NULL,
  PRIMARY KEY (reader, topic, lane)
) WITH (fillfactor = 20);
CREATE TABLE divisi_lease (
  name text PRIMARY KEY, owner text NOT NULL, token bigint NOT NULL, expires_at bigint NOT NULL
) WITH (fillfactor = 20);

-- The database's clock, as the log keeps it.
CREATE FUNCTION divisi_now() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

-- Which life of which cluster this is: another after a promotion, a restore to a point in time, and every start of the
-- server, since its files may have been put back to an older copy while it did not run. The timeline is that of the
-- write-ahead log: the control file lags behind a promotion until the next checkpoint.
CREATE FUNCTION divisi_identity() RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT system_identifier::text || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
    || '/' || (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint
  FROM pg_control_system()
$$;

-- Numbers events and appends them: called once a transaction, as its last statement before COMMIT.
CREATE FUNCTION divisi_append(p_topic text[], p_lane int[], p_type text[], p_schema int[],
                              p_key text[], p_headers text[], p_payload bytea[])
RETURNS TABLE (ord bigint, pos bigint, epoch bigint, at bigint) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE n_locked bigint; n_wanted bigint; v_epoch bigint; v_now bigint;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'divisi_append needs READ COMMITTED' USING ERRCODE = 'DV002';
  END IF;
  -- In order, and nothing is locked behind them but by COMMIT: no deadlocks.
  PERFORM 1 FROM divisi_lane x JOIN (SELECT DISTINCT u.t, u.l FROM unnest(p_topic, p_lane) u(t, l)) w
     ON x.topic = w.t AND x.lane = w.l ORDER BY x.topic, x.lane FOR NO KEY UPDATE OF x;
  GET DIAGNOSTICS n_locked = ROW_COUNT;
  SELECT count(*) INTO n_wanted FROM (SELECT DISTINCT u.t, u.l FROM unnest(p_topic, p_lane) u(t, l)) w;
  IF n_locked <> n_wanted THEN
    RAISE EXCEPTION 'a topic was not declared when the store was opened' USING ERRCODE = 'DV003';
  END IF;
  -- Behind the locks: who begins an epoch holds them all, and a statement sees what was committed before it.
  SELECT m.epoch INTO v_epoch FROM divisi_meta m WHERE m.db_identity = divisi_identity();
  IF v_epoch IS NULL THEN
    RAISE EXCEPTION 'this database went back in time or was copied: a new epoch must begin' USING ERRCODE = 'DV001';
  END IF;
  -- A COMMIT that waits for a standby must not be cut short: it would be acknowledged without it.
  PERFORM set_config('statement_timeout', '0', true);
  v_now := divisi_now();
  RETURN QUERY
    WITH u AS (
      SELECT * FROM unnest(p_topic, p_lane, p_type, p_schema, p_key, p_headers, p_payload)
        WITH ORDINALITY u(t, l, ty, sv, k, h, pl, n)),
    ends AS (
      SELECT x.topic AS t, x.lane AS l, coalesce(
        (SELECT o.pos FROM divisi_outbox o WHERE o.topic = x.topic AND o.lane = x.lane ORDER BY o.pos DESC LIMIT 1),
        x.floor_pos) AS e
      FROM divisi_lane x JOIN (SELECT DISTINCT u.t, u.l FROM u) w ON x.topic = w.t AND x.lane = w.l),
    numbered AS (
      SELECT u.*, ends.e + row_number() OVER (PARTITION BY u.t, u.l ORDER BY u.n) AS p
      FROM u JOIN ends ON ends.t = u.t AND ends.l = u.l),
    appended AS (
      INSERT INTO divisi_outbox (topic, lane, pos, epoch, type, schema_v, key, headers, payload, at)
      SELECT t, l, p, v_epoch, ty, sv, k, h, pl, v_now FROM numbered)
    SELECT n, p, v_epoch, v_now FROM numbered ORDER BY n;
END $$;

-- What a consumer knows.
CREATE TABLE divisi_source_epoch (
  consumer text NOT NULL, source text NOT NULL, topic text NOT NULL, epoch bigint NOT NULL,
  PRIMARY KEY (consumer, source, topic, epoch)
);
CREATE TABLE divisi_source_fork (
  consumer text NOT NULL, source text NOT NULL, topic text NOT NULL, lane int NOT NULL, epoch bigint NOT NULL, fork bigint NOT NULL,
  PRIMARY KEY (consumer, source, topic, lane, epoch)
);
CREATE TABLE divisi_watermark (
  consumer text NOT NULL, source text NOT NULL, topic text NOT NULL, lane int NOT NULL,
  epoch bigint NOT NULL DEFAULT 0, pos bigint NOT NULL DEFAULT 0, carrier_hint text, updated_at bigint NOT NULL,
  PRIMARY KEY (consumer, source, topic, lane)
) WITH (fillfactor = 20);
CREATE TABLE divisi_parked_key (
  consumer text NOT NULL, source text NOT NULL, topic text NOT NULL, key text NOT NULL,
  state text NOT NULL CHECK (state IN ('retrying', 'dead', 'waiting')),
  reason text NOT NULL, attempts int NOT NULL DEFAULT 0, next_at bigint, since bigint NOT NULL,
  dep_topic text, dep_key text,
  PRIMARY KEY (consumer, source, topic, key)
);
CREATE INDEX divisi_parked_key_dep ON divisi_parked_key (consumer, dep_topic, dep_key) WHERE state = 'waiting';
CREATE INDEX divisi_parked_key_due ON divisi_parked_key (consumer, next_at) WHERE state <> 'dead';
CREATE TABLE divisi_parked_event (
  consumer text NOT NULL, source text NOT NULL, topic text NOT NULL, lane int NOT NULL, epoch bigint NOT NULL, pos bigint NOT NULL,
  type text NOT NULL, schema_v int NOT NULL, key text NOT NULL, key_version bigint,
  headers text NOT NULL, payload bytea NOT NULL, at bigint NOT NULL, parked_at bigint NOT NULL,
  PRIMARY KEY (consumer, source, topic, lane, epoch, pos)
);
CREATE INDEX divisi_parked_event_key ON divisi_parked_event (consumer, source, topic, key, epoch, pos);

-- Ids minted elsewhere: idempotency keys with their answers.
CREATE TABLE divisi_seen (
  scope text NOT NULL, id text NOT NULL, fingerprint bytea, result bytea, seen_at bigint NOT NULL,
  PRIMARY KEY (scope, id)
);
CREATE INDEX divisi_seen_at ON divisi_seen (seen_at);

CREATE TABLE divisi_projection (
  name text PRIMARY KEY,
  active int NOT NULL, shape int NOT NULL,           -- which version readers see, and its shape
  building int, building_shape int,                  -- the one that is to take its place
  previous int, previous_until bigint,               -- the one that it took the place of, kept for the way back
  state text NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'building', 'flipping'))
);
CREATE TABLE divisi_timer (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  owner text NOT NULL, owner_key text NOT NULL, name text NOT NULL,
  due_at bigint NOT NULL, payload text NOT NULL DEFAULT '{}', attempts int NOT NULL DEFAULT 0, last_error text,
  UNIQUE (owner, owner_key, name)
);
CREATE INDEX divisi_timer_due ON divisi_timer (due_at);
CREATE TABLE divisi_request (
  id text PRIMARY KEY, target text NOT NULL, op text NOT NULL,
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'replied', 'failed', 'expired')),
  reply bytea, deadline bigint NOT NULL, created_at bigint NOT NULL
);
CREATE TABLE divisi_saga (
  type text NOT NULL, id text NOT NULL, version bigint NOT NULL DEFAULT 1,
  step text NOT NULL, status text NOT NULL DEFAULT 'running', state text NOT NULL, updated_at bigint NOT NULL,
  PRIMARY KEY (type, id)
);
