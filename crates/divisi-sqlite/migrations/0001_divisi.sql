-- The framework's own tables. Applied once, checksummed: this text never changes; a change is a new file.
CREATE TABLE divisi_meta (one INTEGER PRIMARY KEY DEFAULT 1 CHECK (one = 1), source TEXT NOT NULL, epoch INTEGER NOT NULL, db_identity TEXT NOT NULL) STRICT;
CREATE TABLE divisi_epoch (epoch INTEGER PRIMARY KEY, began_at INTEGER NOT NULL) STRICT;
CREATE TABLE divisi_fork (topic TEXT NOT NULL, lane INTEGER NOT NULL, epoch INTEGER NOT NULL, fork INTEGER NOT NULL, PRIMARY KEY (topic, lane, epoch)) STRICT, WITHOUT ROWID;
CREATE TABLE divisi_source_epoch (consumer TEXT NOT NULL, source TEXT NOT NULL, topic TEXT NOT NULL, epoch INTEGER NOT NULL, PRIMARY KEY (consumer, source, topic, epoch)) STRICT, WITHOUT ROWID;
CREATE TABLE divisi_source_fork (consumer TEXT NOT NULL, source TEXT NOT NULL, topic TEXT NOT NULL, lane INTEGER NOT NULL, epoch INTEGER NOT NULL, fork INTEGER NOT NULL, PRIMARY KEY (consumer, source, topic, lane, epoch)) STRICT, WITHOUT ROWID;
CREATE TABLE divisi_topic (topic TEXT PRIMARY KEY, lanes INTEGER NOT NULL) STRICT;
CREATE TABLE divisi_lane (topic TEXT NOT NULL, lane INTEGER NOT NULL, floor_pos INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (topic, lane)) STRICT, WITHOUT ROWID;
CREATE TABLE divisi_outbox (
  topic TEXT NOT NULL, lane INTEGER NOT NULL, pos INTEGER NOT NULL, epoch INTEGER NOT NULL,
  type TEXT NOT NULL, schema_v INTEGER NOT NULL DEFAULT 1, key TEXT NOT NULL, key_version INTEGER,
  headers TEXT NOT NULL DEFAULT '{}', payload BLOB NOT NULL, at INTEGER NOT NULL,
  UNIQUE (topic, lane, pos)) STRICT;             -- a rowid table: appends stay sequential
CREATE TABLE divisi_reader (reader TEXT NOT NULL, topic TEXT NOT NULL, lane INTEGER NOT NULL, epoch INTEGER NOT NULL DEFAULT 0, pos INTEGER NOT NULL DEFAULT 0, seen_at INTEGER NOT NULL, PRIMARY KEY (reader, topic, lane)) STRICT, WITHOUT ROWID;
CREATE TABLE divisi_watermark (consumer TEXT NOT NULL, source TEXT NOT NULL, topic TEXT NOT NULL, lane INTEGER NOT NULL,
  epoch INTEGER NOT NULL DEFAULT 0, pos INTEGER NOT NULL DEFAULT 0, carrier_hint TEXT, updated_at INTEGER NOT NULL,
  PRIMARY KEY (consumer, source, topic, lane)) STRICT, WITHOUT ROWID;
CREATE TABLE divisi_parked_key (consumer TEXT NOT NULL, source TEXT NOT NULL, topic TEXT NOT NULL, key TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('retrying','dead','waiting')), reason TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
  next_at INTEGER, since INTEGER NOT NULL, dep_topic TEXT, dep_key TEXT,
  PRIMARY KEY (consumer, source, topic, key)) STRICT, WITHOUT ROWID;
CREATE INDEX divisi_parked_key_dep ON divisi_parked_key (consumer, dep_topic, dep_key) WHERE state = 'waiting';
CREATE TABLE divisi_parked_event (consumer TEXT NOT NULL, source TEXT NOT NULL, topic TEXT NOT NULL, lane INTEGER NOT NULL, epoch INTEGER NOT NULL, pos INTEGER NOT NULL,
  type TEXT NOT NULL, schema_v INTEGER NOT NULL, key TEXT NOT NULL, key_version INTEGER, headers TEXT NOT NULL, payload BLOB NOT NULL, at INTEGER NOT NULL, parked_at INTEGER NOT NULL,
  PRIMARY KEY (consumer, source, topic, lane, epoch, pos)) STRICT;
CREATE INDEX divisi_parked_event_key ON divisi_parked_event (consumer, source, topic, key, epoch, pos);
CREATE TABLE divisi_seen (scope TEXT NOT NULL, id TEXT NOT NULL, fingerprint BLOB, result BLOB, seen_at INTEGER NOT NULL, PRIMARY KEY (scope, id)) STRICT, WITHOUT ROWID;
CREATE INDEX divisi_seen_at ON divisi_seen (seen_at);
CREATE TABLE divisi_projection (
  name TEXT PRIMARY KEY,
  active INTEGER NOT NULL, shape INTEGER NOT NULL,     -- which version readers see, and its shape
  building INTEGER, building_shape INTEGER,            -- the one that is to take its place
  previous INTEGER, previous_until INTEGER,            -- the one that it took the place of, kept for the way back
  state TEXT NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'building', 'flipping'))) STRICT;
CREATE TABLE divisi_timer (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, owner_key TEXT NOT NULL, name TEXT NOT NULL,
  due_at INTEGER NOT NULL, payload TEXT NOT NULL DEFAULT '{}', attempts INTEGER NOT NULL DEFAULT 0, last_error TEXT,
  UNIQUE (owner, owner_key, name)) STRICT;
CREATE INDEX divisi_timer_due ON divisi_timer (due_at);
CREATE TABLE divisi_request (id TEXT PRIMARY KEY, target TEXT NOT NULL, op TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'pending'
  CHECK (status IN ('pending','replied','failed','expired')), reply BLOB, deadline INTEGER NOT NULL, created_at INTEGER NOT NULL) STRICT;
CREATE TABLE divisi_saga (type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1, step TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'running', state TEXT NOT NULL, updated_at INTEGER NOT NULL, PRIMARY KEY (type, id)) STRICT, WITHOUT ROWID;
