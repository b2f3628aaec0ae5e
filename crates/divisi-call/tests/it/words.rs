//! What errors say, and what they do not say.

use bytes::Bytes;
use divisi_call::dispatch::arguments;
use divisi_contract::{CallError, codec};

/// A shape that what is sent does not have.
#[derive(Debug, serde::Deserialize)]
struct Wanted {
    #[allow(dead_code, reason = "it is never there")]
    age: u8,
}

/// A choice that what is sent does not make.
#[derive(Debug, serde::Deserialize)]
enum Choice {
    Known,
}

#[track_caller]
fn words<T: std::fmt::Debug>(decoded: Result<T, CallError<Bytes>>) -> String {
    let error = decoded.expect_err("it is not what was wanted");
    assert!(!error.may_have_run(), "{error:?}");
    error.cause().expect("it is no refusal").message.clone()
}

#[test]
fn what_cannot_be_read_is_not_repeated() {
    for personal in
        ["ada@example.org", "\"ada\" \\\" ada", "ada`s", "string \"ada\" variant `ada`", "\nada\\"]
    {
        let sent = codec::encode(personal).expect("a text");
        let said = words(arguments::<Wanted>(&sent));
        assert!(!said.contains("ada"), "{said}");
        assert!(said.contains("invalid type: string \"…\", expected struct Wanted"), "{said}");
    }
    let sent = codec::encode("ada").expect("a text");
    let said = words(arguments::<Choice>(&sent));
    assert!(!said.contains("ada"), "{said}");
    assert!(said.contains("unknown variant `…`, expected `Known`"), "{said}");
}
