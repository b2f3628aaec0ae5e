//! A record as attributes, and back.

use std::sync::Arc;

use bytes::Bytes;
use divisi_contract::ServiceName;
use divisi_store::{Epoch, Lane, Pos, Record};

use super::headers::{
    Attribute, Attributes, CAUSE, CONTENT_TYPE, CORRELATION, DEADLINE, EPOCH, HEADERS, ID, LANE,
    PARTITIONKEY, SEQUENCE, SOURCE, SPECVERSION, SUBJECT, TIME, TOPIC, TRACEPARENT, TRACESTATE, TYPE,
    Written,
};
use super::{CloudEventError, time};

/// What a record's own headers have attributes for, in the order in which the store writes them.
const OWN: [Attribute; 5] = [TRACEPARENT, TRACESTATE, CAUSE, CORRELATION, DEADLINE];

pub(super) fn write(headers: &mut Written, app: &str, record: &Record) {
    headers.put(SPECVERSION, "1.0");
    headers.put(ID, id(record));
    headers.put(SOURCE, format!("/{}", record.source));
    headers.put(TYPE, format!("{}{}.v{}", before_name(app, &record.source), record.kind, record.schema_v));
    if !record.key.is_empty() {
        headers.put(SUBJECT, &*record.key);
    }
    headers.put(PARTITIONKEY, &*record.key);
    headers.put(SEQUENCE, format!("{:020}", record.pos.0));
    headers.put(TIME, time::rfc3339(record.at));
    headers.put(CONTENT_TYPE, "application/json");
    headers.put(TOPIC, &*record.topic);
    headers.put(LANE, record.lane.to_string());
    headers.put(EPOCH, record.epoch.to_string());
    let own = own(&record.headers);
    // The record's own headers to the letter, where the attributes do not bring them back.
    let brings_back = joined(&own) == *record.headers;
    for (attribute, value) in own {
        headers.put(attribute, value);
    }
    if !brings_back {
        headers.put(HEADERS, &*record.headers);
    }
}

pub(super) fn id(record: &Record) -> String {
    record.position().to_string()
}

pub(super) fn read(
    attributes: &Attributes<'_>,
    app: &str,
    payload: Bytes,
) -> Result<Record, CloudEventError> {
    if attributes.required(SPECVERSION)? != "1.0" {
        return Err(attributes.wrong(SPECVERSION, "1.0"));
    }
    attributes.required(ID)?;
    let source = source(attributes)?;
    let (kind, schema_v) = kind(attributes, app, &source)?;
    is_json(attributes)?;
    let key = match attributes.text(PARTITIONKEY)? {
        Some(key) => key,
        None => attributes.required(SUBJECT)?,
    };
    let time = attributes.required(TIME)?;
    let at = time::parse(&time).ok_or_else(|| attributes.wrong(TIME, "a time as RFC 3339 has it"))?;
    let pos: i64 = attributes.number(SEQUENCE, "a position")?;
    if pos == 0 {
        return Err(attributes.wrong(SEQUENCE, "a position: the first is 1"));
    }
    let headers = match attributes.text(HEADERS)? {
        Some(headers) => headers.into_owned(),
        None => {
            let mut own = Vec::with_capacity(OWN.len());
            for attribute in OWN {
                own.extend(attributes.text(attribute)?.map(|value| (attribute, value)));
            }
            joined(&own)
        }
    };
    Ok(Record {
        topic: (&*attributes.required(TOPIC)?).into(),
        lane: Lane(attributes.number(LANE, "a lane")?),
        epoch: Epoch(attributes.number(EPOCH, "an epoch")?),
        pos: Pos(pos),
        kind,
        schema_v,
        key: (&*key).into(),
        headers: headers.into(),
        payload,
        at,
        source,
    })
}

pub(super) fn source(attributes: &Attributes<'_>) -> Result<ServiceName, CloudEventError> {
    let source = attributes.required(SOURCE)?;
    Ok(ServiceName::from(source.strip_prefix('/').unwrap_or(&source)))
}

/// Where the name begins in `app.service.Name.v1`.
fn before_name(app: &str, source: &ServiceName) -> String {
    if app.is_empty() { format!("{source}.") } else { format!("{app}.{source}.") }
}

/// The name and the version of a type. Of another app's it is the last part before the version.
fn kind(
    attributes: &Attributes<'_>,
    app: &str,
    source: &ServiceName,
) -> Result<(Arc<str>, u32), CloudEventError> {
    let text = attributes.required(TYPE)?;
    let wrong = || attributes.wrong(TYPE, "a type and its version, like app.service.Name.v1");
    let (name, version) = text.rsplit_once(".v").ok_or_else(wrong)?;
    let digits = version.bytes().all(|byte| byte.is_ascii_digit());
    let version = digits.then(|| version.parse().ok()).flatten().ok_or_else(wrong)?;
    let name = match name.strip_prefix(&before_name(app, source)) {
        Some(name) => name,
        None => name.rsplit_once('.').map_or(name, |(_, name)| name),
    };
    Ok((name.into(), version))
}

/// The payload of an event is JSON, and said to be, if anything is said.
fn is_json(attributes: &Attributes<'_>) -> Result<(), CloudEventError> {
    let Some(said) = attributes.text(CONTENT_TYPE)? else { return Ok(()) };
    if said == "application/json" {
        return Ok(());
    }
    let media = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media == "application/json" || media == "text/json" || media.ends_with("+json") {
        return Ok(());
    }
    Err(attributes.wrong(CONTENT_TYPE, "JSON"))
}

/// What of a record's own headers has an attribute.
fn own(headers: &str) -> Vec<(Attribute, String)> {
    let Ok(serde_json::Value::Object(mut headers)) = serde_json::from_str(headers) else { return Vec::new() };
    let value = |attribute: Attribute| match headers.remove(attribute.name)? {
        serde_json::Value::String(value) => Some((attribute, value)),
        _ => None,
    };
    OWN.into_iter().filter_map(value).collect()
}

/// The text of a record's own headers, as the store writes it.
fn joined(own: &[(Attribute, impl AsRef<str>)]) -> String {
    let mut text = String::with_capacity(160);
    for (attribute, value) in own {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push('"');
        text.push_str(attribute.name);
        text.push_str("\":");
        // A string always is JSON.
        text.push_str(&serde_json::to_string(value.as_ref()).unwrap_or_default());
    }
    text.push_str(if text.is_empty() { "{}" } else { "}" });
    text
}
