//! Which posts are known to exist.

use blog_contracts::PostId;
use divisi::{Read, StoreError, Tx, params};

pub(crate) async fn insert(tx: &mut Tx, post: &PostId) -> Result<(), StoreError> {
    tx.send("INSERT INTO posts_known (id) VALUES ($1) ON CONFLICT DO NOTHING", params![post.0]).await
}

pub(crate) async fn exists(read: &mut Read, post: &PostId) -> Result<bool, StoreError> {
    let row: Option<(String,)> =
        read.query_opt("SELECT id FROM posts_known WHERE id = $1", params![post.0]).await?;
    Ok(row.is_some())
}
