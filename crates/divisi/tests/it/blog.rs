//! A contract, an event and refusals as an app writes them, with `divisi` alone.

use std::sync::Arc;

use divisi::call::{Client, Place, Route};
use divisi::{Answer, Context, Invalid, refuse};

/// A post's id.
#[divisi::data]
#[derive(Eq, Hash)]
pub(crate) struct PostId(pub(crate) String);

impl std::fmt::Display for PostId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A comment to be.
#[divisi::data]
pub(crate) struct NewComment {
    pub(crate) content: String,
}

/// A comment.
#[divisi::data]
pub(crate) struct Comment {
    pub(crate) post: PostId,
    pub(crate) content: String,
}

/// Why a comment was not added.
#[divisi::refusal]
pub(crate) enum AddRefused {
    /// Nobody wrote that post.
    #[refuse(404, "no post has the id {0}")]
    NoSuchPost(PostId),
    /// It breaks a rule.
    #[refuse(422, "the comment breaks a rule: {0}")]
    Invalid(#[from] Invalid),
    /// Too much.
    #[refuse(429, "at most {limit} comments a minute")]
    TooMany {
        /// How many.
        limit: u32,
    },
}

/// Adds comments.
#[divisi::contract]
pub(crate) trait Comments {
    /// Adds a comment; it stays pending until moderation has judged it.
    #[post("/posts/{post}/comments", status = 201, keyed)]
    async fn add(&self, cx: &Context, post: PostId, comment: NewComment) -> Answer<Comment, AddRefused>;
    /// The comments of a post.
    #[get("/posts/{post}/comments")]
    async fn of_post(&self, cx: &Context, post: PostId, limit: Option<u32>) -> Answer<Vec<Comment>>;
    #[call(idempotent)]
    async fn nothing(&self, cx: &Context) -> Answer<()>;
}

/// A comment was made.
#[divisi::event(topic = "comments", key = "post", version = 2)]
pub(crate) struct CommentCreated {
    pub(crate) post: PostId,
    pub(crate) content: String,
}

/// Answers at once, and keeps nothing.
pub(crate) struct Service;

impl Comments for Service {
    async fn add(&self, _cx: &Context, post: PostId, comment: NewComment) -> Answer<Comment, AddRefused> {
        Invalid::none().unless(!comment.content.is_empty(), "content", "must not be empty").done()?;
        match post.0.as_str() {
            "none" => refuse(AddRefused::NoSuchPost(post)),
            "busy" => Err(AddRefused::TooMany { limit: 3 }.into()),
            _ => Ok(Comment { post, content: comment.content }),
        }
    }

    async fn of_post(&self, _cx: &Context, post: PostId, limit: Option<u32>) -> Answer<Vec<Comment>> {
        Ok(vec![Comment { post, content: format!("{limit:?}") }])
    }

    async fn nothing(&self, _cx: &Context) -> Answer<()> {
        Ok(())
    }
}

/// A client of it.
pub(crate) fn comments() -> CommentsClient {
    let route = Route::new("comments");
    route.lead_to(Place::Local(vec![CommentsClient::serve(Arc::new(Service), None)]));
    CommentsClient::over("tests".into(), route)
}
