//! What comments promises.

use std::fmt;

use divisi::{Answer, Context, Invalid};

use crate::{BadPage, NoSuchPost, PostId};

/// Which comment.
#[divisi::data]
#[derive(Eq, Hash, PartialOrd, Ord)]
pub struct CommentId(pub String);

/// A comment as its author sends it.
#[divisi::data]
pub struct NewComment {
    /// 1 to 2,000 characters after trimming.
    pub content: String,
}

/// A comment.
#[divisi::data]
pub struct Comment {
    /// Which one.
    pub id: CommentId,
    /// What it says.
    pub content: String,
    /// What moderation thinks of it.
    pub status: Status,
}

/// What moderation thinks of a comment.
#[divisi::data]
#[derive(Copy, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It has not been judged.
    Pending,
    /// It may be shown.
    Approved,
    /// It may not be shown.
    Rejected,
    /// A status that a newer version knows.
    #[serde(other)]
    Unknown,
}

/// The comments of one post.
#[divisi::data]
pub struct OfPost {
    /// The post.
    pub post: PostId,
    /// Its comments, oldest first.
    pub comments: Vec<Comment>,
}

/// Why a comment was not added.
#[divisi::refusal]
pub enum AddRefused {
    /// No post has this id.
    #[refuse(404, "no post has this id")]
    NoSuchPost,
    /// A rule about its fields is broken.
    #[refuse(422, "the comment is not valid")]
    Invalid(#[from] Invalid),
}

/// Comments and their status.
#[divisi::contract]
pub trait Comments {
    /// Adds a comment; it stays pending until moderation has judged it.
    #[post("/posts/{post}/comments", status = 201, keyed)]
    async fn add(&self, cx: &Context, post: PostId, comment: NewComment) -> Answer<Comment, AddRefused>;

    /// The comments of a post, oldest first.
    #[get("/posts/{post}/comments")]
    async fn of_post(&self, cx: &Context, post: PostId) -> Answer<Vec<Comment>, NoSuchPost>;

    /// The comments of many posts, in the order asked for; posts that are not known have none.
    #[call(idempotent)]
    async fn of_posts(&self, cx: &Context, posts: Vec<PostId>) -> Answer<Vec<OfPost>, BadPage>;
}

/// A comment was added.
#[divisi::event(topic = "comments", key = "post")]
pub struct CommentCreated {
    /// Which one.
    pub id: CommentId,
    /// The post it stands under.
    pub post: PostId,
    /// What it says.
    pub content: String,
    /// Pending, always.
    pub status: Status,
}

/// A comment is different now.
#[divisi::event(topic = "comments", key = "post")]
pub struct CommentUpdated {
    /// Which one.
    pub id: CommentId,
    /// The post it stands under.
    pub post: PostId,
    /// What it says.
    pub content: String,
    /// What moderation thinks of it.
    pub status: Status,
    /// 1 when it was added, one more with each change.
    pub version: u32,
}

impl NewComment {
    /// The comment with its content trimmed, or every rule that it breaks.
    pub fn check(self) -> Result<NewComment, Invalid> {
        let content = self.content.trim();
        let n_characters = content.chars().count();
        Invalid::none()
            .unless(n_characters > 0, "content", "must not be empty")
            .unless(n_characters <= 2_000, "content", "must have at most 2,000 characters")
            .done()?;
        Ok(NewComment { content: content.to_owned() })
    }
}

impl Status {
    /// The status as it stands in tables and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Approved => "approved",
            Status::Rejected => "rejected",
            Status::Unknown => "unknown",
        }
    }

    /// Reads what [`Status::as_str`] wrote.
    pub fn read(text: &str) -> Status {
        match text {
            "pending" => Status::Pending,
            "approved" => Status::Approved,
            "rejected" => Status::Rejected,
            _ => Status::Unknown,
        }
    }
}

impl fmt::Display for CommentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
