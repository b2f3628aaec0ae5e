CREATE TABLE posts (id TEXT PRIMARY KEY, title TEXT NOT NULL);
CREATE TABLE comments (
  id TEXT PRIMARY KEY, post TEXT NOT NULL, content TEXT NOT NULL,
  status TEXT NOT NULL, version INTEGER NOT NULL
);
CREATE INDEX comments_of_post ON comments (post, id);
