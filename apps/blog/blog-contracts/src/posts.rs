//! What posts promises.

use std::fmt;

use divisi::{Answer, Context, Invalid};

/// Which post: newer ones are greater.
#[divisi::data]
#[derive(Eq, Hash, PartialOrd, Ord)]
pub struct PostId(pub String);

/// A post as its author sends it.
#[divisi::data]
pub struct NewPost {
    /// 1 to 200 characters after trimming.
    pub title: String,
}

/// A post.
#[divisi::data]
pub struct Post {
    /// Which one.
    pub id: PostId,
    /// Its title.
    pub title: String,
}

/// Why a post was not created.
#[divisi::refusal]
pub enum CreateRefused {
    /// A rule about its fields is broken.
    #[refuse(422, "the post is not valid")]
    Invalid(#[from] Invalid),
}

/// There is no such post.
#[divisi::refusal]
pub enum NoSuchPost {
    /// No post has this id.
    #[refuse(404, "no post has this id")]
    NoSuchPost,
}

/// The page asked for cannot be had.
#[divisi::refusal]
pub enum BadPage {
    /// A rule about the page is broken.
    #[refuse(400, "the page asked for is not valid")]
    Invalid(#[from] Invalid),
}

/// Posts, and who may ask for them.
#[divisi::contract]
pub trait Posts {
    /// Creates a post.
    #[post("/posts", status = 201, keyed)]
    #[post("/posts/create", status = 201)]
    async fn create(&self, cx: &Context, post: NewPost) -> Answer<Post, CreateRefused>;

    /// One post.
    #[call(idempotent)]
    async fn get(&self, cx: &Context, id: PostId) -> Answer<Post, NoSuchPost>;

    /// The posts among these that exist, newest first.
    #[call(idempotent)]
    async fn by_ids(&self, cx: &Context, ids: Vec<PostId>) -> Answer<Vec<Post>, BadPage>;

    /// Posts, newest first, after a post that the page before ended with.
    #[call(idempotent)]
    async fn list(
        &self,
        cx: &Context,
        after: Option<PostId>,
        limit: Option<u32>,
    ) -> Answer<Vec<Post>, BadPage>;
}

/// A post exists.
#[divisi::event(topic = "posts", key = "id")]
pub struct PostCreated {
    /// Which one.
    pub id: PostId,
    /// Its title.
    pub title: String,
}

impl NewPost {
    /// The post with its title trimmed, or every rule that it breaks.
    pub fn check(self) -> Result<NewPost, Invalid> {
        let title = self.title.trim();
        let n_characters = title.chars().count();
        Invalid::none()
            .unless(n_characters > 0, "title", "must not be empty")
            .unless(n_characters <= 200, "title", "must have at most 200 characters")
            .done()?;
        Ok(NewPost { title: title.to_owned() })
    }
}

impl fmt::Display for PostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
