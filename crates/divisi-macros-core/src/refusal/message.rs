//! The sentence of a refusal, with fields in braces.

/// The names in the braces of a message: `limit` of `{limit}`, `0` of `{0:?}`.
pub(super) fn fields(message: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = message.replace("{{", "");
    while let Some(start) = rest.find('{') {
        let tail = rest.split_off(start + 1);
        let end = tail.find([':', '}']).unwrap_or(tail.len());
        fields.push(tail[..end].trim().to_owned());
        rest = tail;
    }
    fields
}

/// The message with `{0}` as `{_0}`, so that it can name a variable.
pub(super) fn with_names(message: &str) -> String {
    let mut named = String::with_capacity(message.len() + 4);
    let mut letters = message.chars().peekable();
    while let Some(letter) = letters.next() {
        named.push(letter);
        if letter != '{' {
            continue;
        }
        match letters.peek() {
            Some('{') => named.extend(letters.next()),
            Some(next) if next.is_ascii_digit() => named.push('_'),
            _ => {}
        }
    }
    named
}
