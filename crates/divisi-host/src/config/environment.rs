//! The environment as keys and values: `DIVISI_LOG__FORMAT` is `log.format`.

use std::ffi::OsString;

use divisi_store::failpoint;

use super::found::{Entry, Found};
use super::{FAIL, Mistake, RESERVED, Source};

const PREFIX: &str = "DIVISI_";

pub(super) fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    services: &[&str],
    entries: &mut Vec<Entry>,
    mistakes: &mut Vec<Mistake>,
) {
    let mut own: Vec<(String, OsString)> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    if !failpoint::COMPILED_IN && own.iter().any(|(name, _)| name == FAIL) {
        // A test that kills nobody must not pass.
        let text = "this program has no points to fail at; build it with the feature `failpoints`";
        mistakes.push(Mistake::new(format!("{FAIL}: {text}")));
    }
    own.retain(|(name, _)| !RESERVED.contains(&name.as_str()));
    // The environment has no order; the mistakes in it should have one.
    own.sort();
    for (name, value) in own {
        match value.into_string() {
            Ok(text) => entries.push(Entry {
                path: path(&name, services),
                found: Found::Variable(text),
                source: Source::Variable(name),
            }),
            Err(_) => mistakes.push(Mistake::new(format!("{name} is not text in UTF-8"))),
        }
    }
}

/// The variable of a key.
pub(super) fn variable(key: &str) -> String {
    PREFIX.to_owned() + &key.replace('.', "__").replace('-', "_").to_uppercase()
}

/// The key of a variable. A variable cannot have the `-` of a service's name; it has `_` in its place.
fn path(name: &str, services: &[&str]) -> Vec<String> {
    let key = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
    let mut path: Vec<String> = key.split("__").map(str::to_owned).collect();
    if let [section, service, _] = path.as_mut_slice()
        && section == "services"
        && let Some(known) = services.iter().find(|known| known.replace('-', "_") == *service)
    {
        *service = (*known).to_owned();
    }
    path
}
