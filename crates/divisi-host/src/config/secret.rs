//! Addresses and passwords, which nobody should read over a shoulder or in a log.

use std::fmt;

use super::{Carrier, Secret, Store};

impl Secret {
    /// A text that is not shown as it is.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, if there is one.
    pub fn reveal(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|text| !text.is_empty())
    }

    /// An address without the password in it; a text that is no address has nothing to show.
    pub fn shown(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return if self.0.is_empty() { String::new() } else { "…".to_owned() };
        };
        let end = rest.find(['/', '?', ',']).unwrap_or(rest.len());
        // A password may have a `/` or an `@` in it that should have been written otherwise: the last `@` counts.
        let (who, place) = match rest.rfind('@') {
            Some(at) => (Some(rest.get(..at).unwrap_or_default()), rest.get(at + 1..).unwrap_or_default()),
            None => (None, rest.get(..).unwrap_or_default()),
        };
        let place = if end < rest.len() && place.contains("password=") { "…" } else { place };
        match who.map(|who| who.split(':').next().unwrap_or_default()) {
            Some(user) => format!("{scheme}://{user}:…@{place}"),
            None => format!("{scheme}://{place}"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Store {
    /// Where databases are, without passwords; `None`: in files.
    pub fn shown(&self) -> Option<String> {
        self.url.reveal().map(|_| self.url.shown())
    }
}

impl Carrier {
    /// Where the broker is, without passwords, if there is one.
    pub fn shown(&self) -> Option<String> {
        self.url.reveal().map(|_| self.url.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let shown = |text: &str| Secret::new(text).shown();
        assert_eq!(
            shown("postgres://{service}:se@cr/et@db/{service}"),
            "postgres://{service}:…@db/{service}"
        );
        assert_eq!(shown("postgres://db/x?password=secret"), "postgres://…");
        assert_eq!(shown("nats://127.0.0.1:4222"), "nats://127.0.0.1:4222");
        assert_eq!(shown("kafka://one:9092,two:9092"), "kafka://one:9092,two:9092");
        assert_eq!(shown("secret"), "…");
        assert_eq!(shown(""), "");
        assert!(!format!("{:?}", Secret::new("nats://me:secret@broker")).contains("secret"));
    }
}
