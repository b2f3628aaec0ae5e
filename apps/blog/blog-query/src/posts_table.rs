//! Reads the read model.

use blog_contracts::{Comment, CommentId, PostId, PostWithComments, Status};
use divisi::{Read, StoreError, params};

pub(crate) async fn exists(read: &mut Read, id: &PostId) -> Result<bool, StoreError> {
    let row: Option<(String,)> = read.query_opt("SELECT id FROM posts WHERE id = $1", params![id.0]).await?;
    Ok(row.is_some())
}

pub(crate) async fn get(read: &mut Read, id: &PostId) -> Result<Option<PostWithComments>, StoreError> {
    let row = read.query_opt("SELECT id, title FROM posts WHERE id = $1", params![id.0]).await?;
    match row {
        None => Ok(None),
        Some(row) => with_comments(read, row).await.map(Some),
    }
}

pub(crate) async fn list(
    read: &mut Read,
    after: Option<&PostId>,
    limit: u32,
) -> Result<Vec<PostWithComments>, StoreError> {
    let rows: Vec<(String, String)> = match after {
        None => read.query("SELECT id, title FROM posts ORDER BY id DESC LIMIT $1", params![limit]).await?,
        Some(after) => {
            let sql = "SELECT id, title FROM posts WHERE id < $1 ORDER BY id DESC LIMIT $2";
            read.query(sql, params![after.0, limit]).await?
        }
    };
    let mut posts = Vec::with_capacity(rows.len());
    for row in rows {
        posts.push(with_comments(read, row).await?);
    }
    Ok(posts)
}

async fn with_comments(
    read: &mut Read,
    (id, title): (String, String),
) -> Result<PostWithComments, StoreError> {
    let sql = "SELECT id, content, status FROM comments WHERE post = $1 ORDER BY id";
    let rows: Vec<(String, String, String)> = read.query(sql, params![id]).await?;
    let comments = rows
        .into_iter()
        .map(|(id, content, status)| Comment { id: CommentId(id), content, status: Status::read(&status) })
        .collect();
    Ok(PostWithComments { id: PostId(id), title, comments })
}
