//! The idempotency key of a request, and whether the method can keep what it asks for.

use axum::http::{HeaderMap, StatusCode};
use divisi_contract::Repeat;

use crate::problem::Problem;

/// The header's name.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest key: enough for any identifier, short enough to be a database key.
const KEY_BYTES_MAX: usize = 255;

/// Reads the `Idempotency-Key`, and refuses one that cannot be kept.
///
/// A method that may be repeated anyway takes a key without needing it. One that is not to be repeated cannot keep the
/// promise that a key asks for, and says so before it runs.
pub(crate) fn read(headers: &HeaderMap, repeat: Repeat) -> Result<Option<&str>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).into_iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let refused = |code, detail| Err(Problem::new(StatusCode::BAD_REQUEST, code, detail));
    if keys.next().is_some() {
        return refused("bad-idempotency-key", "the request has more than one `Idempotency-Key`");
    }
    let visible = |key: &str| key.bytes().all(|byte| byte.is_ascii_graphic());
    let key = key.to_str().ok().filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()) && visible(key));
    let Some(key) = key else {
        return refused(
            "bad-idempotency-key",
            "an `Idempotency-Key` has 1 to 255 visible ASCII characters, without a space",
        );
    };
    match repeat {
        Repeat::Keyed => Ok(Some(key)),
        Repeat::Idempotent => Ok(None),
        Repeat::Once => refused(
            "idempotency-key-not-kept",
            "this method does not keep answers under an `Idempotency-Key`: send it without one, and only once",
        ),
    }
}
