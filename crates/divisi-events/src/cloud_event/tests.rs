//! What is written can be read, by us to the letter; what strangers write is read or named.

use divisi_store::epoch::Fork;
use divisi_store::{Epoch, Timestamp};
use fastrand::Rng;

use super::*;

fn sold() -> Record {
    Record {
        source: "shop".into(),
        topic: "sales".into(),
        lane: Lane(7),
        epoch: Epoch(1_700_000_000_000_000),
        pos: Pos(42),
        kind: "Sold".into(),
        schema_v: 2,
        key: "apple pie/ä".into(),
        headers: r#"{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","divisicause":"1/orders/3/9"}"#
            .into(),
        payload: r#"{"item":"apple","n":1}"#.into(),
        at: Timestamp(1_764_000_000_123_456),
    }
}

fn read(mapping: &CloudEvents, message: &Message) -> Result<Content, CloudEventError> {
    mapping.read(message.headers.iter().map(|(name, value)| (&**name, value.as_bytes())), &message.payload)
}

#[test]
fn an_event_has_the_attributes_that_a_stranger_expects() {
    let message = CloudEvents::kafka("market").record(&sold());
    let headers: Vec<_> = message.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(
        headers,
        [
            "ce_specversion: 1.0",
            "ce_id: 1700000000000000/sales/7/42",
            "ce_source: /shop",
            "ce_type: market.shop.Sold.v2",
            "ce_subject: apple pie/ä",
            "ce_partitionkey: apple pie/ä",
            "ce_sequence: 00000000000000000042",
            "ce_time: 2025-11-24T16:00:00.123456Z",
            "content-type: application/json",
            "ce_divisitopic: sales",
            "ce_divisilane: 7",
            "ce_divisiepoch: 1700000000000000",
            "ce_traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ce_divisicause: 1/orders/3/9",
        ]
    );
    assert_eq!(message.payload, sold().payload);
}

#[test]
fn headers_of_nats_are_ascii() {
    let message = CloudEvents::nats("market").record(&sold());
    let find =
        |wanted: &str| message.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| &**value);
    assert_eq!(find("ce-subject"), Some("apple%20pie/%C3%A4"));
    assert_eq!(find("ce-datacontenttype"), Some("application/json"));
}

/// Ten thousand records of anything that a record can be.
#[test]
fn every_record_comes_back_as_it_was() {
    let mut random = Rng::with_seed(7);
    for _ in 0..10_000 {
        let record = any_record(&mut random);
        for mapping in [CloudEvents::nats("app"), CloudEvents::kafka("app"), CloudEvents::nats("")] {
            let read = read(&mapping, &mapping.record(&record));
            assert_eq!(read, Ok(Content::Record(record.clone())));
        }
    }
}

fn any_record(random: &mut Rng) -> Record {
    let headers = match random.u8(..4) {
        0 => "{}".to_owned(),
        1 => format!(r#"{{"traceparent":{}}}"#, serde_json::Value::from(any_text(random))),
        2 => serde_json::json!({ any_text(random): any_text(random), "divisicorr": any_text(random) })
            .to_string(),
        _ => any_text(random),
    };
    Record {
        source: any_text(random).into(),
        topic: any_text(random).into(),
        lane: Lane(random.u16(..)),
        epoch: Epoch(random.i64(0..)),
        pos: Pos(random.i64(1..)),
        kind: any_text(random).into(),
        schema_v: random.u32(..),
        key: any_text(random).into(),
        headers: headers.into(),
        payload: any_text(random).into(),
        at: Timestamp(random.i64(-62_167_219_200_000_000..253_402_300_800_000_000)),
    }
}

fn any_text(random: &mut Rng) -> String {
    const PIECES: [&str; 14] =
        ["a", "Z", "0", ".", "/", " ", "%", "%41", "\"", "\\", "\r\n", "\u{0}", "ä", "\u{1f600}"];
    let n = random.usize(0..6);
    (0..n).map(|_| PIECES[random.usize(0..PIECES.len())]).collect()
}

#[test]
fn a_beacon_comes_back_as_it_was() {
    let fork = |lane, epoch, fork| Fork { lane: Lane(lane), epoch: Epoch(epoch), fork: Pos(fork) };
    let forks = vec![fork(0, 20, 5), fork(0, 30, 8), fork(9, 30, 1), fork(9, 25, 1)];
    let epochs = Epochs { known: vec![Epoch(10), Epoch(20), Epoch(30)], forks };
    let heads = vec![(Lane(0), Pos(12)), (Lane(9), Pos(0))];
    for mapping in [CloudEvents::nats("market"), CloudEvents::kafka("market")] {
        let message = mapping.beacon(&"shop".into(), "sales", &epochs, &heads);
        let (source, topic) = ("shop".into(), "sales".into());
        let (epochs, heads) = (epochs.clone(), heads.clone());
        assert_eq!(read(&mapping, &message), Ok(Content::Beacon { source, topic, epochs, heads }));
    }
}

#[test]
fn the_largest_beacon_fits_into_a_message() {
    let known: Vec<_> = (0..256).map(|n| Epoch(1_700_000_000_000_000 + n * 1_000_000_000)).collect();
    let fork = |lane, epoch| Fork { lane: Lane(lane), epoch, fork: Pos(123_456_789) };
    let forks = (0..64).flat_map(|lane| known.iter().map(move |epoch| fork(lane, *epoch))).collect();
    let heads: Vec<_> = (0..64).map(|lane| (Lane(lane), Pos(123_456_789))).collect();
    let message = CloudEvents::nats("a").beacon(&"shop".into(), "sales", &Epochs { known, forks }, &heads);
    assert!(message.payload.len() < 400 * 1024, "{} bytes", message.payload.len());
}

#[test]
fn structured_mode_is_read_too() {
    let body = r#"{ "specversion": "1.0", "id": "x", "source": "/shop", "type": "other.shop.Sold.v2", "partitionkey": "k",
        "sequence": "42", "time": "2025-11-24T17:00:00.5+01:00", "divisitopic": "sales", "divisilane": 7,
        "divisiepoch": 5, "data": {"big": 12345678901234567890123} }"#;
    for (mapping, media) in [
        (CloudEvents::nats("market"), "application/cloudevents+json; charset=UTF-8"),
        (CloudEvents::kafka("market"), "application/cloudevents"),
    ] {
        let read = mapping.read([("Content-Type", media.as_bytes())], body.as_bytes());
        let record = Record {
            epoch: Epoch(5),
            key: "k".into(),
            headers: "{}".into(),
            payload: r#"{"big": 12345678901234567890123}"#.into(),
            at: Timestamp(1_764_000_000_500_000),
            ..sold()
        };
        assert_eq!(read, Ok(Content::Record(record)));
    }
}

#[test]
fn a_missing_header_is_named() {
    let mapping = CloudEvents::nats("market");
    let whole = mapping.record(&sold());
    for needed in [
        "specversion",
        "id",
        "source",
        "type",
        "sequence",
        "time",
        "divisitopic",
        "divisilane",
        "divisiepoch",
    ] {
        let header = format!("ce-{needed}");
        let mut message = whole.clone();
        message.headers.retain(|(name, _)| **name != header);
        assert_eq!(read(&mapping, &message), Err(CloudEventError::Missing { header }));
    }
    let mut message = whole.clone();
    message.headers.retain(|(name, _)| **name != *"ce-partitionkey");
    assert!(read(&mapping, &message).is_ok(), "the subject is the key, too");
}

#[test]
fn a_wrong_header_is_named_with_what_it_says() {
    for (attribute, value) in [
        ("specversion", "2.0"),
        ("type", "Sold"),
        ("type", "a.b.Sold.v"),
        ("type", "a.b.Sold.v+1"),
        ("sequence", "0"),
        ("sequence", "-1"),
        ("sequence", "+1"),
        ("sequence", "99999999999999999999"),
        ("sequence", ""),
        ("divisilane", "65536"),
        ("divisiepoch", "x"),
        ("datacontenttype", "text/xml"),
        ("time", "2025-02-29T00:00:00Z"),
        ("time", "2025-02-28 00:00"),
        ("time", "2025-13-01T00:00:00Z"),
        ("time", "2025-01-01T00:00:00.Z"),
        ("time", "2025-01-01T00:00:00+25:00"),
        ("time", "äöüäöüäöüäöüäöü"),
    ] {
        let mapping = CloudEvents::nats("market");
        let mut message = mapping.record(&sold());
        let header = format!("ce-{attribute}");
        for (_, old) in message.headers.iter_mut().filter(|(name, _)| **name == header) {
            *old = value.to_owned();
        }
        let error = read(&mapping, &message).expect_err(value);
        assert!(
            matches!(&error, CloudEventError::Wrong { header: named, .. } if *named == header),
            "{error}"
        );
        assert!(error.to_string().contains(&value[..value.len().min(10)]), "{error}");
    }
}

/// Whatever bytes come, the answer is a value.
#[test]
fn no_bytes_are_a_panic() {
    let mut random = Rng::with_seed(11);
    for _ in 0..20_000 {
        let mapping = if random.bool() { CloudEvents::nats("a") } else { CloudEvents::kafka("a") };
        let mut message = if random.bool() {
            mapping.record(&any_record(&mut random))
        } else {
            mapping.beacon(&"shop".into(), "sales", &Epochs::default(), &[(Lane(1), Pos(1))])
        };
        let structured = random.bool();
        let mut headers: Vec<(Vec<u8>, Vec<u8>)> = message
            .headers
            .drain(..)
            .map(|(name, value)| (name.to_owned().into_bytes(), value.into_bytes()))
            .collect();
        if structured {
            headers.push((b"content-type".to_vec(), b"application/cloudevents+json".to_vec()));
        }
        let mut payload = message.payload.to_vec();
        for _ in 0..random.usize(1..4) {
            let of = random.usize(0..headers.len());
            let bytes = if random.bool() { &mut payload } else { &mut headers[of].1 };
            match random.u8(..3) {
                0 => bytes.truncate(random.usize(0..=bytes.len())),
                1 => bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(3).collect::<Vec<_>>()),
                _ => bytes.iter_mut().for_each(|byte| {
                    if random.u8(..8) == 0 {
                        *byte = random.u8(..);
                    }
                }),
            }
        }
        let named: Vec<_> = headers
            .iter()
            .filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, &value[..])))
            .collect();
        let _ = mapping.read(named, &payload);
    }
}
