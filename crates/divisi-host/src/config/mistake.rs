//! What is wrong in a configuration, in sentences.

use std::fmt;

use super::environment::variable;
use super::found::Entry;
use super::{Config, Source, keys};

/// One thing that is wrong, in a sentence that names the file and line or the variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake(String);

impl Mistake {
    pub(super) fn new(text: String) -> Mistake {
        Mistake(text)
    }

    /// Something about the value of `key`.
    pub(super) fn of(source: &Source, key: &str, text: &str) -> Mistake {
        match source {
            Source::Variable(name) => Mistake(format!("{name}: {text}")),
            _ => Mistake(format!("{source}: `{key}`: {text}")),
        }
    }

    pub(super) fn wrong_value(entry: &Entry, expected: &str) -> Mistake {
        let (subject, found) = (subject(entry), &entry.found);
        if entry.path.last().is_some_and(|name| keys::SECRET.contains(&name.as_str())) {
            return Mistake(format!("{subject} must be {expected}; its value is not shown here"));
        }
        Mistake(format!("{subject} is {found}, but must be {expected}"))
    }

    pub(super) fn is_section(entry: &Entry, keys: &[String]) -> Mistake {
        let (subject, found) = (subject(entry), &entry.found);
        Mistake(format!("{subject} is {found}, but is a section with {}", list(keys)))
    }

    pub(super) fn unknown_key(entry: &Entry, config: &Config) -> Mistake {
        let key = entry.path.join(".");
        let hint = nearest(&key, keys::all(config).iter().map(String::as_str));
        let text = match (&entry.source, hint) {
            (Source::Variable(name), Some(near)) => {
                format!("{name} is not a setting; did you mean {}?", variable(&near))
            }
            (Source::Variable(name), None) => format!("{name} is not a setting"),
            (source, Some(near)) => {
                format!("{source}: unknown key `{}`; did you mean `{near}`?", key.escape_debug())
            }
            (source, None) => format!("{source}: unknown key `{}`", key.escape_debug()),
        };
        Mistake(text)
    }

    pub(super) fn unknown_service(entry: &Entry, service: &str, config: &Config) -> Mistake {
        let (source, name) = (&entry.source, service.escape_debug());
        let known: Vec<String> = config.services.keys().cloned().collect();
        Mistake(match nearest(service, known.iter().map(String::as_str)) {
            Some(near) => format!("{source}: there is no service `{name}`; did you mean `{near}`?"),
            None if known.is_empty() => format!("{source}: there is no service `{name}`"),
            None => format!("{source}: there is no service `{name}`; the services are {}", list(&known)),
        })
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What the sentence is about. A variable names its key already.
fn subject(entry: &Entry) -> String {
    match &entry.source {
        Source::Variable(name) => name.clone(),
        source => format!("{source}: `{}`", entry.path.join(".")),
    }
}

/// The known name that was probably meant: the nearest, if a slip of the hand explains the difference, or the only
/// one that ends in the same word.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    let near = known
        .clone()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= (known.len() / 4).max(2))
        .min();
    let ending = || {
        let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
        let mut same = known.filter(|known| last(known) == last(name));
        same.next().filter(|_| same.next().is_none())
    };
    near.map(|(_, known)| known).or_else(ending).map(str::to_owned)
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}
