-- No unique constraint but the number: what takes effect twice stands there twice, in the order of the effects.
CREATE TABLE effects (
  n INTEGER PRIMARY KEY, account BIGINT NOT NULL, version BIGINT NOT NULL, transfer TEXT NOT NULL,
  amount BIGINT NOT NULL, balance BIGINT NOT NULL, at BIGINT NOT NULL
);
CREATE TABLE balances (account BIGINT PRIMARY KEY, version BIGINT NOT NULL, balance BIGINT NOT NULL);
