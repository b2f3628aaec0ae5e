use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nested {
    inner: Option<Box<Nested>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Again(Box<Choice>),
    End,
}

/// Maps in maps, as deep as that.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = b"\x81\xa5inner".repeat(depth);
    bytes.push(0x80 | 1);
    bytes.extend_from_slice(b"\xa5inner\xc0");
    bytes
}

#[test]
fn bytes_that_nest_without_end_are_an_error() {
    for depth in [200, 1_000, 100_000] {
        assert!(decode::<Nested>(&nested(depth)).is_err(), "{depth} structs");
        let mut choices = b"\x81\xa5Again".repeat(depth);
        choices.extend_from_slice(b"\xa3End");
        assert!(decode::<Choice>(&choices).is_err(), "{depth} enums");
        assert!(decode::<Value>(&vec![0x91; depth]).is_err(), "{depth} lists");
        assert!(decode::<Value>(&b"\xdd\0\0\0\x02\xc0".repeat(depth)).is_err(), "{depth} pairs");
    }
}

#[test]
fn lengths_that_nothing_stands_behind_cost_nothing() {
    for bytes in [
        &b"\xdd\xff\xff\xff\xff"[..],
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
    ] {
        assert!(decode::<Value>(bytes).is_err());
        assert!(decode::<Vec<u64>>(bytes).is_err());
        assert!(decode::<Vec<()>>(bytes).is_err());
        assert!(decode::<String>(bytes).is_err());
        assert!(decode::<Bytes>(bytes).is_err());
    }
}

#[test]
fn what_does_not_nest_deep_is_read_whatever_is_in_it() {
    let mut nest = Nested { inner: None };
    for _ in 0..100 {
        nest = Nested { inner: Some(Box::new(nest)) };
    }
    assert_eq!(decode::<Nested>(&encode(&nest).expect("it can be")).expect("it is not too deep"), nest);
    type Row = (u8, i8, u32, i64, f32, f64, bool, Option<u8>, String, Vec<u8>, Vec<Choice>);
    let rows: Vec<Row> = (0..200)
        .map(|n| {
            let (text, list) = ("x".repeat(n * 400), vec![7; n]);
            let choices = vec![Choice::End, Choice::Again(Box::new(Choice::End))];
            (200, -100, 1 << 20, i64::MIN, 0.5, 0.25, true, None, text, list, choices)
        })
        .collect();
    assert_eq!(decode::<Vec<Row>>(&encode(&rows).expect("it can be")).expect("it is not deep"), rows);
    let binary =
        (Bytes::from(vec![0x91; 70_000]), Bytes::from(vec![0x91; 300]), Bytes::from(vec![0x91; 200]));
    assert_eq!(
        decode::<(Bytes, Bytes, Bytes)>(&encode(&binary).expect("it can be")).expect("it is flat"),
        binary
    );
}
