//! A value as it was found, before anybody knows what it should be.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Source;

/// A key and what was found under it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) path: Vec<String>,
    pub(super) found: Found,
    pub(super) source: Source,
}

/// What was found.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// Text of the environment, which has no types.
    Variable(String),
    /// A string of the file.
    String(String),
    /// A whole number of the file; none when it is too large for one.
    Integer(String, Option<u64>),
    /// Anything else in the file, in words.
    Other(String),
    /// A table of the file without a key in it.
    EmptyTable,
}

impl Found {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Found::Variable(text) | Found::String(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn parse<T: std::str::FromStr>(&self) -> Option<T> {
        self.text()?.parse().ok()
    }

    pub(super) fn number(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let number = match self {
            Found::Integer(_, number) => *number,
            Found::Variable(text) => text.parse().ok(),
            _ => None,
        };
        number.filter(|number| range.contains(number))
    }

    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<usize> {
        self.number(range).and_then(|number| usize::try_from(number).ok())
    }

    pub(super) fn seconds(&self, range: RangeInclusive<u64>) -> Option<Duration> {
        self.number(range).map(Duration::from_secs)
    }

    pub(super) fn millis(&self, range: RangeInclusive<u64>) -> Option<Duration> {
        self.number(range).map(Duration::from_millis)
    }

    /// A host and a port; the host need not have an address yet.
    pub(super) fn host_and_port(&self) -> Option<String> {
        let text = self.text()?;
        let (host, port) = text.rsplit_once(':')?;
        let host_is_one = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inside) => inside.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            }
        };
        (host_is_one && port.parse::<u16>().is_ok_and(|port| port != 0)).then(|| text.to_owned())
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Variable(text) => write!(f, "{text:?}"),
            Found::String(text) => write!(f, "the string {text:?}"),
            Found::Integer(text, _) => write!(f, "the number {text}"),
            Found::Other(text) => f.write_str(text),
            Found::EmptyTable => f.write_str("an empty table"),
        }
    }
}
