//! Reads the comments of one post, or of many in one go.

use blog_contracts::comments::OfPost;
use blog_contracts::{BadPage, Comment, NoSuchPost, PAGE_MAX, PostId};
use divisi::{Answer, Context, Invalid, refuse};

use crate::{CommentsService, comments_table};

pub(crate) async fn of_post(
    comments: &CommentsService,
    cx: &Context,
    post: PostId,
) -> Answer<Vec<Comment>, NoSuchPost> {
    if !comments.post_exists(cx, &post).await? {
        return refuse(NoSuchPost::NoSuchPost);
    }
    Ok(comments.store.read(async |read| comments_table::of_post(read, &post).await).await?)
}

pub(crate) async fn of_posts(comments: &CommentsService, posts: Vec<PostId>) -> Answer<Vec<OfPost>, BadPage> {
    Invalid::none()
        .unless(posts.len() <= PAGE_MAX as usize, "posts", format!("must be at most {PAGE_MAX}"))
        .done()?;
    let found = comments.store.read(async |read| {
        let mut found = Vec::with_capacity(posts.len());
        for post in posts {
            let comments = comments_table::of_post(read, &post).await?;
            found.push(OfPost { post, comments });
        }
        Ok::<_, divisi::StoreError>(found)
    });
    Ok(found.await?)
}
