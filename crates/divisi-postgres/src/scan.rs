//! What a service's statement may not be: control of the transaction or of the session.
//!
//! A statement text is one statement (the server sees to it), so its first words say what it is.

use divisi_store::{StoreError, StoreErrorKind};

/// Refuses transaction control, and what would outlive the transaction on a connection that others get next.
pub(crate) fn is_allowed(sql: &str) -> Result<(), StoreError> {
    let mut words = Words(sql);
    let first = words.next().unwrap_or_default();
    let is = |word: &str, list: &[&str]| list.iter().any(|listed| word.eq_ignore_ascii_case(listed));
    const CONTROL: [&str; 9] =
        ["begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare"];
    const SESSION: [&str; 7] = ["reset", "discard", "deallocate", "listen", "unlisten", "load", "copy"];
    let refuse = |message: &str| Err(StoreError::new(StoreErrorKind::Forbidden, message));
    if is(first, &CONTROL) {
        return refuse(
            "a service's SQL has no transaction control: `tx` is the transaction, `tx.nested` a part of it",
        );
    }
    let outlives = is(first, &SESSION)
        || (is(first, &["set"]) && !is(words.next().unwrap_or_default(), &["local", "constraints"]));
    if outlives {
        return refuse(
            "a service's SQL leaves the session as it is: the connection serves others next (`SET LOCAL` ends with the transaction)",
        );
    }
    Ok(())
}

/// Whether a statement changes rows and nothing else, as its first word says.
pub(crate) fn is_of_rows(sql: &str) -> bool {
    const OF_ROWS: [&str; 4] = ["insert", "update", "delete", "merge"];
    let first = Words(sql).next().unwrap_or_default();
    OF_ROWS.iter().any(|word| first.eq_ignore_ascii_case(word))
}

/// The words at the beginning of a text, comments passed over; something else ends them.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.0 = without_comments(self.0);
        let end = self.0.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

fn without_comments(mut sql: &str) -> &str {
    loop {
        sql = sql.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        if let Some(rest) = sql.strip_prefix("--") {
            sql = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(rest) = sql.strip_prefix("/*") {
            sql = after_comment(rest);
        } else {
            return sql;
        }
    }
}

/// What comes after a comment, in which others may be nested.
fn after_comment(mut sql: &str) -> &str {
    let mut depth = 1_usize;
    while depth > 0 {
        let next = sql.find("/*").map_or(usize::MAX, |at| at);
        match sql.find("*/") {
            None => return "",
            Some(end) if end < next => {
                depth -= 1;
                sql = sql.get(end + 2..).unwrap_or_default();
            }
            Some(_) => {
                depth += 1;
                sql = sql.get(next + 2..).unwrap_or_default();
            }
        }
    }
    sql
}

#[cfg(test)]
mod tests;
