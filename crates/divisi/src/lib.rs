//! Write your services once. Run them as one process or as many. The guarantees are the same.
//!
//! A service promises a *contract*, a trait whose methods others call, and announces *events*, facts in the past
//! tense. Both are written down once, with this crate alone, and know nothing of where anybody runs:
//!
//! ```
//! use divisi::{Answer, Context, Invalid, refuse};
//!
//! /// Why a comment was not added.
//! #[divisi::refusal]
//! pub enum AddRefused {
//!     #[refuse(404, "no post has the id {0}")]
//!     NoSuchPost(u64),
//!     #[refuse(422, "the comment breaks a rule: {0}")]
//!     Invalid(#[from] Invalid),
//! }
//!
//! /// A comment to be.
//! #[divisi::data]
//! pub struct NewComment {
//!     pub content: String,
//! }
//!
//! /// What the comments service promises.
//! #[divisi::contract]
//! pub trait Comments {
//!     /// Adds a comment to a post and answers with its id.
//!     #[post("/posts/{post}/comments", status = 201)]
//!     async fn add(&self, cx: &Context, post: u64, comment: NewComment) -> Answer<u64, AddRefused>;
//! }
//!
//! /// A comment was added.
//! #[divisi::event(topic = "comments", key = "post")]
//! pub struct CommentCreated {
//!     pub id: u64,
//!     pub post: u64,
//!     pub content: String,
//! }
//!
//! // The service is written exactly as the contract is.
//! struct Service;
//!
//! impl Comments for Service {
//!     async fn add(&self, _cx: &Context, post: u64, comment: NewComment) -> Answer<u64, AddRefused> {
//!         Invalid::none().unless(!comment.content.is_empty(), "content", "must not be empty").done()?;
//!         if post != 1 {
//!             return refuse(AddRefused::NoSuchPost(post));
//!         }
//!         Ok(7)
//!     }
//! }
//!
//! // Others call it through its client, and cannot tell where it runs. Here it is in the same process.
//! # use divisi::call::{Client, Place, Route};
//! # use std::sync::Arc;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let route = Route::new("comments");
//! route.lead_to(Place::Local(vec![CommentsClient::serve(Arc::new(Service), None)]));
//! let comments = CommentsClient::over("docs".into(), route);
//!
//! let cx = Context::root("docs");
//! assert_eq!(comments.add(&cx, 1, NewComment { content: "well said".into() }).await, Ok(7));
//! let error = comments.add(&cx, 2, NewComment { content: "well said".into() }).await.unwrap_err();
//! assert_eq!(error.refusal(), Some(&AddRefused::NoSuchPost(2)));
//! # }
//! ```
//!
//! In order of use: [`contract`](macro@contract), [`refusal`](macro@refusal), [`event`](macro@event) and
//! [`data`](macro@data) define what is promised; [`Answer`] and [`CallError`] are what a call brings back;
//! [`Context`] travels with it; [`mod@contract`] has the promises as data; [`call`] is how one service reaches
//! another.

pub use divisi_call as call;
pub use divisi_contract as contract;

/// A trait becomes a contract: what a service promises.
///
/// What you write is what you implement. Each method is `async`, takes `&self` and `cx: &Context` first, owns its
/// arguments, and returns `Answer<T>`, or `Answer<T, R>` when it may refuse with `R`. A service implements the trait
/// with a plain `async fn` a method; its futures must be `Send`. Beside the trait there is one item more, its client:
/// `CommentsClient` for `Comments`. The client has the same methods, is cheap to clone, and calls the service
/// wherever it runs.
///
/// # Options
///
/// - `name = "comments"`: the name others know it by; the trait's name in kebab-case if absent.
/// - `version = 2`: the major version, 1 if absent. Two sides with different ones do not talk.
/// - `crate = path`: where divisi is, if not at `::divisi`.
///
/// # Methods
///
/// - `#[get("/posts/{post}")]`, and likewise `post`, `put`, `patch` and `delete`: where the gateway serves it. A
///   method may have several routes. An argument that is not in the path is the body of a `post`, `put` or `patch`,
///   and in the query of a `get` or `delete`. `status = 201` after the path is the status of an answer, 200 if absent.
/// - `idempotent`, after a path or in `#[call(idempotent)]`: twice is as good as once, so a call whose outcome is not
///   known is made again. A `get` is idempotent by itself.
/// - `keyed`, likewise: twice under one idempotency key is as good as once, since the service's store keeps the answer.
///
/// Mistakes are told by the compiler, all of them at once.
///
/// ```
/// use divisi::{Answer, Context};
///
/// /// What the shop promises.
/// #[divisi::contract(version = 2)]
/// pub trait Shop {
///     /// What is left of an item.
///     #[get("/items/{item}")]
///     async fn stock(&self, cx: &Context, item: String) -> Answer<u32>;
///     /// Buys; a customer who asks twice under one key buys once.
///     #[call(keyed)]
///     async fn buy(&self, cx: &Context, item: String, count: u32) -> Answer<u64>;
/// }
///
/// use divisi::call::Client;
/// assert_eq!(ShopClient::contract().version, 2);
/// ```
pub use divisi_macros::contract;

/// A struct or an enum becomes a value of a contract: an argument, an answer, or a part of one.
///
/// It derives `Clone`, `Debug`, `PartialEq`, serde's `Serialize` and `Deserialize`, and `JsonSchema`, except those
/// that a `#[derive]` below it names already. Attributes of serde and schemars work. A field that is added later
/// should be an `Option` or have `#[serde(default)]`, so that older peers may leave it out.
///
/// `crate = path` says where divisi is, if not at `::divisi`.
///
/// ```
/// #[divisi::data]
/// #[derive(Copy, Eq, Hash)]
/// pub struct PostId(pub u64);
///
/// assert_eq!(PostId(1), PostId(1).clone());
/// ```
pub use divisi_macros::data;

/// A struct becomes an event: a fact in the past tense that a service announces.
///
/// # Options
///
/// - `topic = "comments"`: where it is announced, in kebab-case. One service owns a topic.
/// - `key = "post"`: the field by which events stay in order; its type has `Display`.
/// - `version = 2`: the version of its shape, 1 if absent. A breaking change makes a new one.
/// - `crate = path`: where divisi is, if not at `::divisi`.
///
/// It derives what [`data`](macro@data) derives.
///
/// ```
/// use divisi::Event;
///
/// /// A comment was added.
/// #[divisi::event(topic = "comments", key = "post")]
/// pub struct CommentCreated {
///     pub id: u64,
///     pub post: u64,
/// }
///
/// assert_eq!(CommentCreated { id: 7, post: 1 }.key(), "1");
/// ```
pub use divisi_macros::event;

/// An enum becomes a refusal: a typed "no" that is part of a contract.
///
/// Each variant is a reason. `#[refuse(404, "no post has this id")]` on it gives the HTTP status, from 400 to 499, and
/// the sentence for people, in which `{field}` and `{0}` stand for fields. The variant's name in kebab-case is the
/// code for programs, so renaming a variant breaks callers.
///
/// `#[from]` on the only field of a variant makes `?` work for it; on an [`Invalid`] it also hands the broken rules to
/// whoever asks for them.
///
/// It derives what [`data`](macro@data) derives, and implements `Display`, `Error` and [`Refusal`].
/// `crate = path` says where divisi is, if not at `::divisi`.
///
/// ```
/// use divisi::{Invalid, Refusal};
///
/// #[divisi::refusal]
/// pub enum AddRefused {
///     #[refuse(404, "no post has the id {post}")]
///     NoSuchPost { post: u64 },
///     #[refuse(422, "the comment breaks a rule: {0}")]
///     Invalid(#[from] Invalid),
/// }
///
/// let refusal = AddRefused::NoSuchPost { post: 7 };
/// assert_eq!((refusal.status(), refusal.code()), (404, "no-such-post"));
/// assert_eq!(refusal.to_string(), "no post has the id 7");
/// ```
pub use divisi_macros::refusal;

pub use divisi_contract::{
    Answer, CallError, Context, Event, FieldError, Invalid, NoRefusal, Refusal, refuse,
};

#[doc(hidden)]
pub use divisi_call::private;

#[cfg(feature = "service")]
pub use divisi_events as events;
#[cfg(feature = "service")]
pub use divisi_events::{Failure, Fold, projection::ReadModel};
#[cfg(feature = "app")]
pub use divisi_gateway as gateway;
#[cfg(feature = "app")]
pub use divisi_gateway::WithGateway;
#[cfg(feature = "service")]
pub use divisi_host as host;
#[cfg(feature = "service")]
pub use divisi_host::{App, Parts, Projection, Service};
#[cfg(feature = "kafka")]
pub use divisi_kafka as kafka;
#[cfg(feature = "nats")]
pub use divisi_nats as nats;
#[cfg(feature = "postgres")]
pub use divisi_postgres as postgres;
#[cfg(feature = "sqlite")]
pub use divisi_sqlite as sqlite;
#[cfg(feature = "service")]
pub use divisi_store as store;
#[cfg(feature = "service")]
pub use divisi_store::{Isolation, Migration, Read, Store, StoreError, Tx, params};

#[cfg(all(feature = "app", feature = "sqlite"))]
mod app;
#[cfg(all(feature = "app", feature = "sqlite"))]
pub use app::app;

/// How an app's `main` ends.
#[cfg(feature = "app")]
pub type Exit = std::process::ExitCode;
