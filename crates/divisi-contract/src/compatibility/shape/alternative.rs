//! A schema as the list of what a value may be.

use serde_json::{Map, Value};

/// How many references and unions are unfolded on the way to an alternative.
const UNFOLD_MAX: usize = 16;

/// One thing that a value may be: one type, or one constant, or anything.
#[derive(Debug)]
pub(super) struct Alternative<'a> {
    map: Option<&'a Map<String, Value>>,
    kind: Option<&'a str>,
    constant: Option<&'a Value>,
}

/// Every alternative of `schema`, with references looked up in `root`.
pub(super) fn of<'a>(root: &'a Value, schema: &'a Value) -> Vec<Alternative<'a>> {
    let mut found = Vec::new();
    unfold(root, schema, 0, &mut found);
    found
}

fn unfold<'a>(root: &'a Value, schema: &'a Value, depth: usize, found: &mut Vec<Alternative<'a>>) {
    let anything = Alternative { map: None, kind: None, constant: None };
    let map = match schema {
        Value::Object(map) if depth < UNFOLD_MAX => map,
        Value::Bool(false) => return,
        _ => return found.push(anything),
    };
    if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
        return match reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) {
            Some(target) => unfold(root, target, depth + 1, found),
            None => found.push(anything),
        };
    }
    for union in ["oneOf", "anyOf"] {
        if let Some(Value::Array(schemas)) = map.get(union) {
            return schemas.iter().for_each(|schema| unfold(root, schema, depth + 1, found));
        }
    }
    if let Some(constant) = map.get("const") {
        return found.push(Alternative { map: Some(map), kind: None, constant: Some(constant) });
    }
    if let Some(Value::Array(constants)) = map.get("enum") {
        return found.extend(constants.iter().map(|constant| Alternative {
            map: Some(map),
            kind: None,
            constant: Some(constant),
        }));
    }
    match map.get("type") {
        Some(Value::String(kind)) => {
            found.push(Alternative { map: Some(map), kind: Some(kind), constant: None })
        }
        Some(Value::Array(kinds)) => found.extend(kinds.iter().filter_map(|kind| {
            Some(Alternative { map: Some(map), kind: Some(kind.as_str()?), constant: None })
        })),
        _ => found.push(Alternative { map: Some(map), ..anything }),
    }
}

impl<'a> Alternative<'a> {
    pub(super) fn is_anything(&self) -> bool {
        self.kind.is_none() && self.constant.is_none()
    }

    /// Its type, unless it is a constant.
    pub(super) fn kind(&self) -> Option<&'a str> {
        self.kind
    }

    pub(super) fn takes_null(&self) -> bool {
        self.is_anything() || self.kind == Some("null") || self.constant.is_some_and(Value::is_null)
    }

    /// Whether `self` could read `written`, as far as can be seen from outside.
    pub(super) fn is_like(&self, written: &Alternative<'_>) -> bool {
        if self.is_anything() || written.is_anything() {
            return true;
        }
        if let Some(constant) = self.constant {
            return written.constant == Some(constant);
        }
        let kind = written.kind.or_else(|| written.constant.map(kind_of));
        let same_kind = self.kind == kind || (self.kind == Some("number") && kind == Some("integer"));
        match (self.tag(), written.tag()) {
            (Some(mine), Some(theirs)) => same_kind && mine == theirs,
            _ => same_kind,
        }
    }

    /// The one field of a variant of an enum.
    fn tag(&self) -> Option<&'a str> {
        let properties = self.properties()?;
        (self.rest() == Some(&Value::Bool(false)) && properties.len() == 1)
            .then(|| properties.keys().next().map(String::as_str))
            .flatten()
    }

    /// What it is, for a sentence.
    pub(super) fn name(&self) -> String {
        match (self.constant, self.tag(), self.kind) {
            (Some(Value::String(constant)), ..) => format!("`{constant}`"),
            (Some(constant), ..) => format!("`{constant}`"),
            (None, Some(tag), _) => format!("`{tag}`"),
            (None, None, Some("null")) => "null".to_owned(),
            (None, None, Some(kind @ ("integer" | "object" | "array"))) => format!("an {kind}"),
            (None, None, Some(kind)) => format!("a {kind}"),
            (None, None, None) => "anything".to_owned(),
        }
    }

    pub(super) fn map(&self) -> Option<&'a Map<String, Value>> {
        self.map.filter(|_| self.constant.is_none())
    }

    pub(super) fn text(&self, keyword: &str) -> Option<&'a str> {
        self.map()?.get(keyword)?.as_str()
    }

    /// The fields of an object; none for any other type, even if the schema lists some.
    pub(super) fn properties(&self) -> Option<&'a Map<String, Value>> {
        self.map_of("object")?.get("properties")?.as_object()
    }

    pub(super) fn required(&self) -> impl Iterator<Item = &'a str> {
        let required = self.map_of("object").and_then(|map| map.get("required")).and_then(Value::as_array);
        required.into_iter().flatten().filter_map(Value::as_str)
    }

    /// What fields without a name of their own may be.
    pub(super) fn rest(&self) -> Option<&'a Value> {
        self.map_of("object")?.get("additionalProperties")
    }

    pub(super) fn items(&self) -> Option<&'a Value> {
        self.map_of("array")?.get("items")
    }

    /// The places of a tuple.
    pub(super) fn places(&self) -> &'a [Value] {
        let places = self.map_of("array").and_then(|map| map.get("prefixItems")).and_then(Value::as_array);
        places.map_or(&[], Vec::as_slice)
    }

    /// Everything inside that has no name.
    pub(super) fn inner(&self) -> impl Iterator<Item = &'a Value> {
        self.items().into_iter().chain(self.places()).chain(self.rest().filter(|rest| rest.is_object()))
    }

    fn map_of(&self, kind: &str) -> Option<&'a Map<String, Value>> {
        self.map().filter(|_| self.kind == Some(kind))
    }
}

fn kind_of(constant: &Value) -> &'static str {
    match constant {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
