//! From where to where a number, a length or a count may go.

use std::fmt;

use serde_json::{Map, Value};

/// A pair of keywords that bound something.
pub(super) struct Limit {
    /// What is bounded, for a sentence.
    pub(super) what: &'static str,
    kinds: &'static [&'static str],
    least: &'static str,
    most: &'static str,
}

/// Everything that a schema can bound.
pub(super) const LIMITS: [Limit; 4] = [
    Limit { what: "numbers", kinds: &["integer", "number"], least: "minimum", most: "maximum" },
    Limit { what: "texts with lengths", kinds: &["string"], least: "minLength", most: "maxLength" },
    Limit { what: "lists with lengths", kinds: &["array"], least: "minItems", most: "maxItems" },
    Limit { what: "maps with sizes", kinds: &["object"], least: "minProperties", most: "maxProperties" },
];

/// From where to where, both included. As floating point: good enough to tell types apart, not to count atoms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    least: f64,
    most: f64,
}

impl Limit {
    /// Whether values of this type have it.
    pub(super) fn bounds(&self, kind: Option<&str>) -> bool {
        kind.is_some_and(|kind| self.kinds.contains(&kind))
    }

    /// What `map` says about it.
    pub(super) fn of(&self, map: Option<&Map<String, Value>>) -> Range {
        let everything = Range { least: f64::NEG_INFINITY, most: f64::INFINITY };
        let Some(map) = map else { return everything };
        let number = |keyword: &str| map.get(keyword).and_then(Value::as_f64);
        let by_type = if self.least == "minimum" {
            map.get("format").and_then(Value::as_str).and_then(integer).unwrap_or(everything)
        } else {
            everything
        };
        Range {
            least: number(self.least).unwrap_or(f64::NEG_INFINITY).max(by_type.least),
            most: number(self.most).unwrap_or(f64::INFINITY).min(by_type.most),
        }
    }
}

impl Range {
    /// Whether all of `other` is in it.
    pub(super) fn holds(&self, other: &Range) -> bool {
        self.least <= other.least && other.most <= self.most
    }
}

/// The range of a Rust integer, from the format that stands for it: `uint32`.
fn integer(format: &str) -> Option<Range> {
    let (signed, bits) = match format.strip_prefix("uint") {
        Some(bits) => (false, bits),
        None => (true, format.strip_prefix("int")?),
    };
    let bits: i32 = if bits.is_empty() { 64 } else { bits.parse().ok()? };
    Some(if signed {
        let half = 2_f64.powi(bits - 1);
        Range { least: -half, most: half - 1.0 }
    } else {
        Range { least: 0.0, most: 2_f64.powi(bits) - 1.0 }
    })
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least.is_finite(), self.most.is_finite()) {
            (true, true) => write!(f, "from {} to {}", shown(self.least), shown(self.most)),
            (true, false) => write!(f, "from {} on", shown(self.least)),
            (false, true) => write!(f, "up to {}", shown(self.most)),
            (false, false) => f.write_str("without bounds"),
        }
    }
}

/// A bound; beyond what a floating point number counts exactly, the power of two that the reader will recognise.
fn shown(bound: f64) -> String {
    if bound.abs() <= 2_f64.powi(53) {
        return bound.to_string();
    }
    let sign = if bound < 0.0 { "-" } else { "" };
    format!("{sign}2^{}", bound.abs().log2().round())
}
