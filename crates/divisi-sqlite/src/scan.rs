//! What the authorizer does not see: `ROLLBACK` as a conflict clause or in `RAISE`.
//!
//! Either would end the transaction that others share, so no statement of a service may have the word outside of
//! quotes and comments.

/// Whether `sql` has the word `ROLLBACK` outside of quotes and comments.
pub(crate) fn has_rollback(sql: &str) -> bool {
    // Nearly every statement ends here; the words are looked at only where the letters occur.
    has_word(sql.as_bytes(), b"rollback") && words(sql).any(|word| word.eq_ignore_ascii_case("rollback"))
}

/// Whether `sql` has the word `DEFERRABLE` or `DEFERRED` anywhere.
pub(crate) fn has_deferred_key(sql: &str) -> bool {
    has_word(sql.as_bytes(), b"deferr")
}

fn has_word(text: &[u8], word: &[u8]) -> bool {
    let first = [word[0], word[0].to_ascii_uppercase()];
    text.iter().enumerate().any(|(n, byte)| {
        first.contains(byte)
            && text.get(n..n + word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word))
    })
}

/// The words outside of quotes and comments.
fn words(sql: &str) -> impl Iterator<Item = &str> {
    let bytes = sql.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let start = at;
            match bytes[at] {
                quote @ (b'\'' | b'"' | b'`') => at = after(bytes, at + 1, &[quote]),
                b'[' => at = after(bytes, at + 1, b"]"),
                b'-' if bytes.get(at + 1) == Some(&b'-') => at = after(bytes, at + 2, b"\n"),
                b'/' if bytes.get(at + 1) == Some(&b'*') => at = after(bytes, at + 2, b"*/"),
                byte if is_word(byte) => {
                    while bytes.get(at).copied().is_some_and(is_word) {
                        at += 1;
                    }
                    return sql.get(start..at);
                }
                _ => at += 1,
            }
        }
        None
    })
}

/// A doubled quote ends one string and begins the next, which comes to the same.
fn after(bytes: &[u8], from: usize, end: &[u8]) -> usize {
    (from..bytes.len()).find(|&n| bytes[n..].starts_with(end)).map_or(bytes.len(), |found| found + end.len())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

#[cfg(test)]
mod tests;
