//! Attributes as headers, and back.

use std::borrow::Cow;

use super::{BEACON_TYPE, Binding, CloudEventError, percent};

/// An attribute, and its header on each carrier: names are written for every event, and none is put together at that time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) nats: &'static str,
    pub(super) kafka: &'static str,
}

macro_rules! attributes {
    ($($CONST:ident: $name:literal),+ $(,)?) => {
        $(pub(super) const $CONST: Attribute =
            Attribute { name: $name, nats: concat!("ce-", $name), kafka: concat!("ce_", $name) };)+
    };
}

attributes! {
    SPECVERSION: "specversion",
    ID: "id",
    SOURCE: "source",
    TYPE: "type",
    SUBJECT: "subject",
    PARTITIONKEY: "partitionkey",
    SEQUENCE: "sequence",
    TIME: "time",
    TOPIC: "divisitopic",
    LANE: "divisilane",
    EPOCH: "divisiepoch",
    TRACEPARENT: "traceparent",
    TRACESTATE: "tracestate",
    CAUSE: "divisicause",
    CORRELATION: "divisicorr",
    DEADLINE: "divisideadline",
    HEADERS: "divisiheaders",
}
/// The attribute whose header has no prefix on some carriers.
pub(super) const CONTENT_TYPE: Attribute =
    Attribute { name: "datacontenttype", nats: "ce-datacontenttype", kafka: "content-type" };

/// Headers that are being written.
pub(super) struct Written {
    binding: Binding,
    headers: Vec<(&'static str, String)>,
}

impl Written {
    pub(super) fn new(binding: Binding) -> Written {
        Written { binding, headers: Vec::with_capacity(16) }
    }

    pub(super) fn put(&mut self, attribute: Attribute, value: impl Into<String>) {
        self.headers.push((self.binding.header(attribute), self.binding.encoded(value.into())));
    }

    pub(super) fn into_inner(self) -> Vec<(&'static str, String)> {
        self.headers
    }
}

/// Attributes that were read: names in lower case, values still encoded.
pub(super) struct Attributes<'a> {
    binding: Binding,
    known: Vec<(Cow<'a, str>, Cow<'a, [u8]>)>,
    /// The header `content-type`: what tells structured from binary mode.
    content_type: Option<&'a [u8]>,
}

impl<'a> Attributes<'a> {
    /// Those of a message in binary mode.
    pub(super) fn binary(
        binding: Binding,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Attributes<'a> {
        let (mut known, mut content_type) = (Vec::with_capacity(16), None);
        for (name, value) in headers {
            if name.eq_ignore_ascii_case("content-type") {
                content_type = content_type.or(Some(value));
            }
            let prefixed =
                name.get(..binding.prefix.len()).filter(|prefix| prefix.eq_ignore_ascii_case(binding.prefix));
            if prefixed.is_some() {
                known.push((lower(&name[binding.prefix.len()..]), Cow::Borrowed(value)));
            } else if name.eq_ignore_ascii_case(binding.header(CONTENT_TYPE)) {
                known.push((Cow::Borrowed(CONTENT_TYPE.name), Cow::Borrowed(value)));
            }
        }
        Attributes { binding, known, content_type }
    }

    /// Those that stood in the body, and are not encoded.
    pub(super) fn in_body(binding: Binding, known: Vec<(String, String)>) -> Attributes<'static> {
        let known = known.into_iter().map(|(name, value)| (name.into(), value.into_bytes().into())).collect();
        Attributes { binding: Binding { percent: false, ..binding }, known, content_type: None }
    }

    /// Whether the whole event stands in the body.
    pub(super) fn structured(&self) -> Result<bool, CloudEventError> {
        let media = self.content_type.unwrap_or_default();
        let media =
            media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        match &media[..] {
            b"application/cloudevents" | b"application/cloudevents+json" => Ok(true),
            other if other.starts_with(b"application/cloudevents") => Err(CloudEventError::wrong(
                "content-type".to_owned(),
                &media,
                "one event in JSON (application/cloudevents+json)",
            )),
            _ => Ok(false),
        }
    }

    pub(super) fn is_beacon(&self) -> bool {
        self.raw(TYPE).is_some_and(|value| value == BEACON_TYPE.as_bytes())
    }

    pub(super) fn text(&self, attribute: Attribute) -> Result<Option<Cow<'_, str>>, CloudEventError> {
        let Some(raw) = self.raw(attribute) else { return Ok(None) };
        let not_text = || self.wrong(attribute, "text in UTF-8");
        let bytes = if self.binding.percent { percent::decode(raw) } else { Cow::Borrowed(raw) };
        let text = match bytes {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map_err(|_| not_text())?.into(),
            Cow::Owned(bytes) => String::from_utf8(bytes).map_err(|_| not_text())?.into(),
        };
        Ok(Some(text))
    }

    pub(super) fn required(&self, attribute: Attribute) -> Result<Cow<'_, str>, CloudEventError> {
        let header = || self.binding.header(attribute).to_owned();
        self.text(attribute)?.ok_or_else(|| CloudEventError::Missing { header: header() })
    }

    /// A number, `0…` included.
    pub(super) fn number<N>(&self, attribute: Attribute, expected: &'static str) -> Result<N, CloudEventError>
    where
        N: std::str::FromStr,
    {
        let text = self.required(attribute)?;
        // `parse` takes a sign, which no number here has.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        number.ok_or_else(|| self.wrong(attribute, expected))
    }

    /// The error that an attribute is not what is expected.
    pub(super) fn wrong(&self, attribute: Attribute, expected: &'static str) -> CloudEventError {
        let value = self.raw(attribute).unwrap_or_default();
        CloudEventError::wrong(self.binding.header(attribute).to_owned(), value, expected)
    }

    fn raw(&self, attribute: Attribute) -> Option<&[u8]> {
        self.known.iter().find(|(name, _)| name == attribute.name).map(|(_, value)| &**value)
    }
}

impl Binding {
    /// A value as it stands in a header.
    pub(super) fn encoded(&self, value: String) -> String {
        match self.percent.then(|| percent::encode(&value)) {
            Some(Cow::Owned(encoded)) => encoded,
            Some(Cow::Borrowed(_)) | None => value,
        }
    }

    fn header(&self, attribute: Attribute) -> &'static str {
        (self.header)(attribute)
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}
