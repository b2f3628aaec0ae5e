//! What a definition becomes.

use divisi::call::Client;
use divisi::contract::{Contract, Repeat, Route, Verb};
use divisi::{CallError, Context, Event, FieldError, Invalid, Refusal};

use crate::blog::{AddRefused, CommentCreated, CommentsClient, NewComment, PostId, comments};

fn contract() -> &'static Contract {
    <CommentsClient as Client>::contract()
}

fn post(id: &str) -> PostId {
    PostId(id.to_owned())
}

#[test]
fn a_contract_is_also_data() {
    let contract = contract();
    assert_eq!((contract.name.as_str(), contract.version), ("comments", 1));
    assert_eq!(contract.docs, "Adds comments.");
    let names: Vec<_> = contract.methods.iter().map(|method| method.name.as_str()).collect();
    assert_eq!(names, ["add", "of_post", "nothing"]);

    let add = contract.method("add").expect("it is there");
    assert_eq!(add.docs, "Adds a comment; it stays pending until moderation has judged it.");
    let route = Route { verb: Verb::Post, path: "/posts/{post}/comments".to_owned(), status: 201 };
    assert_eq!(add.routes, [route]);
    let arguments: Vec<_> = add.arguments.iter().map(|argument| argument.name.as_str()).collect();
    assert_eq!(arguments, ["post", "comment"]);
    assert_eq!(add.arguments[1].schema["properties"]["content"]["type"], "string");
    assert_eq!(add.answer["required"][0], "post");
    let refusals: Vec<_> = add.refusals.iter().map(|spec| (spec.code.as_str(), spec.status)).collect();
    assert_eq!(refusals, [("no-such-post", 404), ("invalid", 422), ("too-many", 429)]);
}

#[test]
fn a_promise_about_repetition_is_part_of_the_contract() {
    let repeats: Vec<_> = contract().methods.iter().map(|method| method.repeat).collect();
    assert_eq!(
        repeats,
        [Repeat::Keyed, Repeat::Idempotent, Repeat::Idempotent],
        "a `get` is idempotent by itself"
    );
}

#[test]
fn a_refusal_has_a_code_a_status_and_a_sentence() {
    let rows = [
        (AddRefused::NoSuchPost(post("7")), "no-such-post", 404, "no post has the id 7"),
        (AddRefused::TooMany { limit: 3 }, "too-many", 429, "at most 3 comments a minute"),
    ];
    for (refusal, code, status, sentence) in rows {
        assert_eq!((refusal.code(), refusal.status()), (code, status));
        assert_eq!(refusal.to_string(), sentence);
        assert_eq!(refusal.errors(), []);
    }
}

#[test]
fn broken_rules_become_a_refusal_that_lists_them() {
    let errors = vec![FieldError::of("content", "must not be empty")];
    let refusal = AddRefused::from(Invalid { errors: errors.clone() });
    assert_eq!(refusal.errors(), errors);
    assert_eq!(refusal.to_string(), "the comment breaks a rule: `content` must not be empty");
}

#[test]
fn an_event_has_a_topic_a_key_and_a_shape() {
    let event = CommentCreated { post: post("7"), content: "well".to_owned() };
    assert_eq!(event.key(), "7");
    let spec = CommentCreated::spec();
    assert_eq!(
        (spec.name.as_str(), spec.topic.as_str(), spec.key.as_str()),
        ("CommentCreated", "comments", "post")
    );
    assert_eq!((spec.version, spec.docs.as_str()), (2, "A comment was made."));
    assert_eq!(spec.schema["properties"]["content"]["type"], "string");
}

#[tokio::test]
async fn a_keyed_method_without_a_store_does_not_run_under_a_key() {
    let cx = Context::root("tests").with_key("once");
    let error = comments().add(&cx, post("7"), NewComment { content: "well".to_owned() }).await.unwrap_err();
    assert!(matches!(&error, CallError::NotRun(cause) if cause.message.contains("no store")), "{error}");
}

#[tokio::test]
async fn a_refusal_reaches_the_caller_in_the_terms_of_the_contract() {
    let comment = NewComment { content: "well".to_owned() };
    let cx = Context::root("tests");
    let error = comments().add(&cx, post("busy"), comment.clone()).await.unwrap_err();
    assert_eq!(error.refusal(), Some(&AddRefused::TooMany { limit: 3 }));
    let error = comments().add(&cx, post("none"), comment).await.unwrap_err();
    assert_eq!(error.refusal(), Some(&AddRefused::NoSuchPost(post("none"))));
    assert_eq!(comments().nothing(&cx).await, Ok(()));
}
