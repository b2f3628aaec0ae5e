//! Structured mode: the whole event as one JSON object in the body, as strangers may write it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::headers::Attributes;
use super::{Binding, CloudEventError};

/// The attributes of a body, and the event itself as it stands there.
pub(super) fn read(binding: Binding, body: &[u8]) -> Result<(Attributes<'static>, &[u8]), CloudEventError> {
    let wrong = |why: String| CloudEventError::Body { expected: "a CloudEvent in JSON", why };
    let mut members: BTreeMap<String, &RawValue> =
        serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
    if members.contains_key("data_base64") {
        return Err(wrong("the event itself stands in `data_base64`, and must be JSON in `data`".to_owned()));
    }
    let data = members.remove("data").ok_or_else(|| wrong("`data` is missing".to_owned()))?;
    let mut attributes = Vec::with_capacity(members.len());
    for (name, value) in members {
        let value = match serde_json::from_str(value.get()) {
            Ok(serde_json::Value::String(text)) => text,
            Ok(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => value.to_string(),
            Ok(serde_json::Value::Null) => continue,
            _ => return Err(wrong(format!("`{name}` is neither a string nor a number"))),
        };
        attributes.push((name, value));
    }
    Ok((Attributes::in_body(binding, attributes), data.get().as_bytes()))
}
