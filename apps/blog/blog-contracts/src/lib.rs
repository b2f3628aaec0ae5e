//! What the blog's services promise each other: methods, refusals and events, a file a service.

pub mod comments;
pub mod moderation;
pub mod posts;
pub mod query;

pub use comments::{
    AddRefused, Comment, CommentCreated, CommentId, CommentUpdated, Comments, CommentsClient, NewComment,
    Status,
};
pub use moderation::CommentModerated;
pub use posts::{BadPage, CreateRefused, NewPost, NoSuchPost, Post, PostCreated, PostId, Posts, PostsClient};
pub use query::{PostWithComments, Query, QueryClient};

/// The most that one page of a list may ask for.
pub const PAGE_MAX: u32 = 100;
/// What a page holds when nothing is asked for.
pub const PAGE_DEFAULT: u32 = 20;
