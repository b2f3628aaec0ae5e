CREATE TABLE audited (
  account BIGINT NOT NULL, version BIGINT NOT NULL, n_changed BIGINT NOT NULL, n_booked BIGINT NOT NULL,
  PRIMARY KEY (account, version)
);
