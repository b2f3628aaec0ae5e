//! The only SQL of posts.

use blog_contracts::{Post, PostId};
use divisi::{Read, StoreError, Tx, params};

pub(crate) async fn insert(tx: &mut Tx, post: &Post) -> Result<(), StoreError> {
    tx.send("INSERT INTO posts (id, title) VALUES ($1, $2)", params![post.id.0, post.title]).await
}

pub(crate) async fn get(read: &mut Read, id: &PostId) -> Result<Option<Post>, StoreError> {
    let row = read.query_opt("SELECT id, title FROM posts WHERE id = $1", params![id.0]).await?;
    Ok(row.map(post))
}

pub(crate) async fn by_ids(read: &mut Read, mut ids: Vec<PostId>) -> Result<Vec<Post>, StoreError> {
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.dedup();
    let mut posts = Vec::with_capacity(ids.len());
    for id in &ids {
        posts.extend(get(read, id).await?);
    }
    Ok(posts)
}

pub(crate) async fn list(
    read: &mut Read,
    after: Option<&PostId>,
    limit: u32,
) -> Result<Vec<Post>, StoreError> {
    // Ids are in the order of time, so the newest is the greatest.
    let rows = match after {
        None => read.query("SELECT id, title FROM posts ORDER BY id DESC LIMIT $1", params![limit]).await?,
        Some(after) => {
            let sql = "SELECT id, title FROM posts WHERE id < $1 ORDER BY id DESC LIMIT $2";
            read.query(sql, params![after.0, limit]).await?
        }
    };
    Ok(rows.into_iter().map(post).collect())
}

fn post((id, title): (String, String)) -> Post {
    Post { id: PostId(id), title }
}
