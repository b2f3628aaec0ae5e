//! What the query of a request says for the arguments of a method.

use divisi_contract::FieldError;

use crate::path::{Plus, decoded};

/// Reads the arguments called `names` from a query in the form of `application/x-www-form-urlencoded`.
///
/// A name that no argument has is passed over: links carry names that are meant for others. An argument that is given
/// twice is an error, because two readers would not agree which one counts. Costs nothing when there are no `names`.
pub(crate) fn read(
    query: &str,
    names: &[&'static str],
    wrong: &mut Vec<FieldError>,
) -> Vec<(String, String)> {
    let mut arguments: Vec<(String, String)> = Vec::new();
    if names.is_empty() {
        return arguments;
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = match decoded(name, Plus::IsSpace) {
            Ok(name) => name,
            Err(message) => {
                wrong.push(FieldError { message: format!("a name in the query {message}"), field: None });
                continue;
            }
        };
        if !names.contains(&name.as_str()) {
            continue;
        }
        if arguments.iter().any(|(other, _)| *other == name) {
            wrong.push(FieldError::of(name, "is given twice"));
            continue;
        }
        match decoded(value, Plus::IsSpace) {
            Ok(value) => arguments.push((name, value)),
            Err(message) => wrong.push(FieldError::of(name, message)),
        }
    }
    // A stranger who sends the same mistake a thousand times is told of it once.
    wrong.dedup();
    arguments
}

#[cfg(test)]
mod tests;
