//! What query promises: posts with their comments, read in one go.

use divisi::{Answer, Context};

use crate::{BadPage, Comment, NoSuchPost, PostId};

/// A post with its comments.
#[divisi::data]
pub struct PostWithComments {
    /// Which post.
    pub id: PostId,
    /// Its title.
    pub title: String,
    /// Its comments, oldest first.
    pub comments: Vec<Comment>,
}

/// Posts with their comments.
#[divisi::contract]
pub trait Query {
    /// Posts with their comments, newest first, after a post that the page before ended with.
    #[get("/posts")]
    async fn posts(
        &self,
        cx: &Context,
        after: Option<PostId>,
        limit: Option<u32>,
    ) -> Answer<Vec<PostWithComments>, BadPage>;

    /// One post with its comments.
    #[get("/posts/{id}")]
    async fn post(&self, cx: &Context, id: PostId) -> Answer<PostWithComments, NoSuchPost>;
}
