//! A contract called from text, as the gateway does it.

use divisi::call::{Edge, EdgeError, EdgeRequest};
use divisi::contract::CauseKind;
use divisi::{Context, FieldError};

use crate::blog::comments;

const ADD: usize = 0;
const OF_POST: usize = 1;
const NOTHING: usize = 2;

async fn call(
    method: usize,
    path: &[(&str, &str)],
    query: &[(&str, &str)],
    body: &str,
) -> Result<String, EdgeError> {
    let path: Vec<_> = path.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    let query: Vec<_> = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let request = EdgeRequest { path: &path, query: &query, body: body.as_bytes() };
    let answer = comments().call(method, &Context::root("tests"), request).await?;
    Ok(String::from_utf8(answer).expect("JSON is text"))
}

#[tokio::test]
async fn arguments_come_from_path_and_body() {
    let answer = call(ADD, &[("post", "7")], &[], r#"{"content":"well"}"#).await;
    assert_eq!(answer.as_deref(), Ok(r#"{"post":"7","content":"well"}"#));
}

#[tokio::test]
async fn arguments_come_from_path_and_query() {
    let answer = call(OF_POST, &[("post", "7")], &[("limit", "3")], "").await;
    assert_eq!(answer.as_deref(), Ok(r#"[{"post":"7","content":"Some(3)"}]"#));
    let answer = call(OF_POST, &[("post", "7")], &[], "").await;
    assert_eq!(answer.as_deref(), Ok(r#"[{"post":"7","content":"None"}]"#), "it may be absent");
}

#[tokio::test]
async fn every_mistake_of_a_request_is_told_at_once() {
    let error = call(OF_POST, &[], &[("limit", "few")], "").await.unwrap_err();
    let EdgeError::BadRequest { status: 400, errors } = error else { panic!("{error:?}") };
    let fields: Vec<_> = errors.iter().map(|error| error.field.as_deref()).collect();
    assert_eq!(fields, [Some("post"), Some("limit")]);

    let error = call(ADD, &[], &[], "{}").await.unwrap_err();
    let EdgeError::BadRequest { errors, .. } = error else { panic!("{error:?}") };
    assert_eq!(errors, [FieldError::of("post", "is missing"), FieldError::of("content", "is missing")]);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_400_and_one_of_another_shape_422() {
    for (body, expected) in [("", 400), ("{", 400), (r#"{"content":1}"#, 422)] {
        let error = call(ADD, &[("post", "7")], &[], body).await.unwrap_err();
        assert!(
            matches!(error, EdgeError::BadRequest { status, .. } if status == expected),
            "{body}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_refusal_brings_its_status_code_sentence_and_rules() {
    let error = call(ADD, &[("post", "7")], &[], r#"{"content":""}"#).await.unwrap_err();
    let expected = EdgeError::Refused {
        status: 422,
        code: "invalid",
        message: "the comment breaks a rule: `content` must not be empty".to_owned(),
        errors: vec![FieldError::of("content", "must not be empty")],
    };
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_method_without_a_route_is_not_reached_from_outside() {
    for method in [NOTHING, 99] {
        let error = call(method, &[], &[], "").await.unwrap_err();
        assert!(
            matches!(&error, EdgeError::NotRun(cause) if cause.kind == CauseKind::NoSuchMethod),
            "{error:?}"
        );
    }
}
