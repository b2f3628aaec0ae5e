//! A record as attributes, and back.

use std::sync::Arc;

use bytes::Bytes;
use divisi_contract::ServiceName;
use divisi_store::{Epoch, Lane, Pos, Record};

use super::headers::{Attributes, Written};
use super::{CloudEventError, time};

/// What a record's own headers have attributes for, in the order in which the store writes them.
const OWN: [&str; 5] = ["traceparent", "tracestate", "divisicause", "divisicorr", "divisideadline"];
/// The record's own headers to the letter, where the attributes do not bring them back.
const HEADERS: &str = "divisiheaders";

pub(super) fn write(headers: &mut Written, app: &str, record: &Record) {
    headers.put("specversion", "1.0");
    headers.put("id", &record.position().to_string());
    headers.put("source", &format!("/{}", record.source));
    headers.put("type", &format!("{}{}.v{}", before_name(app, &record.source), record.kind, record.schema_v));
    if !record.key.is_empty() {
        headers.put("subject", &record.key);
    }
    headers.put("partitionkey", &record.key);
    headers.put("sequence", &format!("{:020}", record.pos.0));
    headers.put("time", &time::rfc3339(record.at));
    headers.put("datacontenttype", "application/json");
    headers.put("divisitopic", &record.topic);
    headers.put("divisilane", &record.lane.to_string());
    headers.put("divisiepoch", &record.epoch.to_string());
    let own = own(&record.headers);
    for (name, value) in &own {
        headers.put(name, value);
    }
    if joined(&own) != *record.headers {
        headers.put(HEADERS, &record.headers);
    }
}

pub(super) fn read(
    attributes: &Attributes<'_>,
    app: &str,
    payload: Bytes,
) -> Result<Record, CloudEventError> {
    if attributes.required("specversion")? != "1.0" {
        return Err(attributes.wrong("specversion", "1.0"));
    }
    attributes.required("id")?;
    let source = source(attributes)?;
    let (kind, schema_v) = kind(attributes, app, &source)?;
    is_json(attributes)?;
    let key = match attributes.text("partitionkey")? {
        Some(key) => key,
        None => attributes.required("subject")?,
    };
    let time = attributes.required("time")?;
    let at = time::parse(&time).ok_or_else(|| attributes.wrong("time", "a time as RFC 3339 has it"))?;
    let pos: i64 = attributes.number("sequence", "a position")?;
    if pos == 0 {
        return Err(attributes.wrong("sequence", "a position: the first is 1"));
    }
    let headers = match attributes.text(HEADERS)? {
        Some(headers) => headers,
        None => {
            let mut own = Vec::with_capacity(OWN.len());
            for name in OWN {
                own.extend(attributes.text(name)?.map(|value| (name, value)));
            }
            joined(&own)
        }
    };
    Ok(Record {
        topic: attributes.required("divisitopic")?.into(),
        lane: Lane(attributes.number("divisilane", "a lane")?),
        epoch: Epoch(attributes.number("divisiepoch", "an epoch")?),
        pos: Pos(pos),
        kind,
        schema_v,
        key: key.into(),
        headers: headers.into(),
        payload,
        at,
        source,
    })
}

pub(super) fn source(attributes: &Attributes<'_>) -> Result<ServiceName, CloudEventError> {
    let source = attributes.required("source")?;
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
    let text = attributes.required("type")?;
    let wrong = || attributes.wrong("type", "a type and its version, like app.service.Name.v1");
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
    let Some(said) = attributes.text("datacontenttype")? else { return Ok(()) };
    let media = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media == "application/json" || media == "text/json" || media.ends_with("+json") {
        return Ok(());
    }
    Err(attributes.wrong("datacontenttype", "JSON"))
}

/// What of a record's own headers has an attribute.
fn own(headers: &str) -> Vec<(&'static str, String)> {
    let Ok(serde_json::Value::Object(headers)) = serde_json::from_str(headers) else { return Vec::new() };
    let value = |name| Some((name, headers.get(name)?.as_str()?.to_owned()));
    OWN.into_iter().filter_map(value).collect()
}

/// The text of a record's own headers, as the store writes it.
fn joined(own: &[(&'static str, String)]) -> String {
    let pair =
        |(name, value): &(&str, String)| format!(r#""{name}":{}"#, serde_json::Value::from(value.as_str()));
    format!("{{{}}}", own.iter().map(pair).collect::<Vec<_>>().join(","))
}
