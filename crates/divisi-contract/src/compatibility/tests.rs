use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Change, check_contract, check_event};
use crate::{Argument, Contract, EventSpec, Method, RefusalSpec, Repeat, Route, Verb, schema};

/// Types as they were, and as they became.
macro_rules! shapes {
    ($($item:item)*) => {
        $(#[derive(Serialize, Deserialize, JsonSchema)] #[allow(dead_code)] $item)*
    };
}

shapes! {
    struct Named { name: String }
    struct NamedMaybe { name: Option<String> }
    struct NamedByDefault { #[serde(default)] name: String }
    struct NamedNumber { name: u32 }
    struct NamedAndOld { name: String, age: u8 }
    struct NamedAndMaybeOld { name: String, age: Option<u8> }
    struct NamedAndOldByDefault { name: String, #[serde(default)] age: u8 }
    struct Renamed { title: String }
    #[serde(deny_unknown_fields)]
    struct OnlyNamed { name: String }
    /// With words.
    struct NamedWithWords {
        /// The name.
        name: String
    }
    enum Small { A, B }
    enum Large { A, B, C }
    enum LargeWithWords {
        /// One.
        A,
        /// Two.
        B,
        /// Three.
        C,
    }
    enum Tagged { Circle(f64), Box { width: u32 } }
    enum TaggedMore { Circle(f64), Box { width: u32 }, Nothing }
    enum TaggedNarrower { Circle(f64), Box { width: u8 } }
    struct Deep { inner: Vec<Named> }
    struct DeepMaybe { inner: Vec<NamedMaybe> }
    struct Tree { name: String, children: Vec<Tree> }
    struct TreeMaybe { name: Option<String>, children: Vec<TreeMaybe> }
}

/// One change of a shape, and what it is where.
struct Row {
    promise: &'static str,
    old: Value,
    new: Value,
    sent: Expected,
    answered: Expected,
    event: Expected,
}

/// Changes as `-path` when they break, `+path` when they add.
type Expected = &'static [&'static str];

fn row<Old: JsonSchema, New: JsonSchema>(
    promise: &'static str,
    sent: Expected,
    answered: Expected,
    event: Expected,
) -> Row {
    Row { promise, old: schema::of::<Old>(), new: schema::of::<New>(), sent, answered, event }
}

#[test]
fn a_change_of_shape_breaks_whoever_cannot_read_it() {
    let rows = [
        row::<Named, Named>("the same is no change", &[], &[], &[]),
        row::<Named, NamedWithWords>("words are for people", &[], &[], &[]),
        row::<Named, NamedAndOld>("a required field is added", &["-.age"], &["+.age"], &["-.age"]),
        row::<Named, NamedAndMaybeOld>("an optional field is added", &["+.age"], &["+.age"], &["+.age"]),
        row::<Named, NamedAndOldByDefault>(
            "a field with a default is added",
            &["+.age"],
            &["+.age"],
            &["+.age"],
        ),
        row::<NamedAndOld, Named>("a required field is removed", &["+.age"], &["-.age"], &["-.age"]),
        row::<NamedAndMaybeOld, Named>("an optional field is removed", &["+.age"], &["+.age"], &["+.age"]),
        row::<Named, Renamed>("a field is renamed", &["-.title"], &["-.name"], &["-.name", "-.title"]),
        row::<Named, NamedMaybe>(
            "a field becomes optional",
            &["+"],
            &["-.name", "-.name"],
            &["-.name", "-.name"],
        ),
        row::<NamedMaybe, Named>(
            "a field becomes required",
            &["-.name", "-.name"],
            &["+"],
            &["-.name", "-.name"],
        ),
        row::<NamedByDefault, Named>("a default is removed", &["-.name"], &["+"], &["-.name"]),
        row::<Named, NamedNumber>("a text becomes a number", &["-.name"], &["-.name"], &["-.name", "-.name"]),
        row::<NamedAndOld, OnlyNamed>(
            "unknown fields become refused",
            &["-.age"],
            &["-.age"],
            &["-.age", "-.age"],
        ),
        row::<u32, u64>("a number becomes wider", &["+"], &["-"], &["-"]),
        row::<u64, u32>("a number becomes narrower", &["-"], &["+"], &["-"]),
        row::<u32, i32>("a number gains a sign", &["-"], &["-"], &["-", "-"]),
        row::<Option<u32>, Option<u8>>("an optional number becomes narrower", &["-"], &["+"], &["-"]),
        row::<u32, f64>("an integer becomes a real number", &["+"], &["-"], &["-"]),
        row::<Small, Large>("a value is added to an enum", &["+"], &["-"], &["-"]),
        row::<Large, Small>("a value is removed from an enum", &["-"], &["+"], &["-"]),
        row::<Large, LargeWithWords>("an enum is documented", &["+"], &["+"], &["+"]),
        row::<Tagged, TaggedMore>("a variant is added", &["+"], &["-"], &["-"]),
        row::<TaggedMore, Tagged>("a variant is removed", &["-"], &["+"], &["-"]),
        row::<Tagged, TaggedNarrower>(
            "a variant becomes narrower",
            &["-.Box.width"],
            &["+"],
            &["-.Box.width"],
        ),
        row::<Deep, DeepMaybe>(
            "a field inside a list becomes optional",
            &["+"],
            &["-.inner[].name", "-.inner[].name"],
            &["-.inner[].name", "-.inner[].name"],
        ),
        row::<BTreeMap<String, u8>, BTreeMap<String, u16>>(
            "the values of a map become wider",
            &["+"],
            &["-.*"],
            &["-.*"],
        ),
        row::<(u8, u8), (u8, u16)>("a place of a tuple becomes wider", &["+"], &["-[]"], &["-[]"]),
        row::<(u8, u8), (u8, u8, u8)>("a tuple becomes longer", &["-"], &["-"], &["-", "-"]),
        row::<Tree, Tree>("a recursive shape ends", &[], &[], &[]),
        row::<u8, Value>("a number becomes anything", &["+"], &["-"], &["-"]),
        row::<Value, u8>("anything becomes a number", &["-"], &["+"], &["-"]),
    ];
    for Row { promise, old, new, sent, answered, event } in rows {
        let as_argument = check_contract(&with_argument(old.clone()), &with_argument(new.clone()));
        assert_eq!(shown(&as_argument, "shop.buy.arguments.item"), sent, "{promise}, sent: {as_argument:#?}");
        let as_answer = check_contract(&with_answer(old.clone()), &with_answer(new.clone()));
        assert_eq!(shown(&as_answer, "shop.buy.answer"), answered, "{promise}, answered: {as_answer:#?}");
        let as_event = check_event(&with_payload(old), &with_payload(new));
        assert_eq!(shown(&as_event, "Sold"), event, "{promise}, as event: {as_event:#?}");
    }
}

#[test]
fn a_change_deep_in_a_recursive_shape_is_found_in_finite_time() {
    let (old, new) = (schema::of::<Tree>(), schema::of::<TreeMaybe>());
    let changes = check_contract(&with_answer(old), &with_answer(new));
    assert!(
        changes.iter().any(|change| change.breaking && change.path == "shop.buy.answer.name"),
        "{changes:#?}"
    );
}

#[test]
fn a_change_of_a_contract_breaks_whoever_relies_on_what_was() {
    /// How the contract changes from the one before it.
    type Edit = fn(&mut Contract);
    let nothing: Edit = |_| {};
    let keyed: Edit = |contract| contract.methods[0].repeat = Repeat::Keyed;
    let idempotent: Edit = |contract| contract.methods[0].repeat = Repeat::Idempotent;
    let refuses: Edit = |contract| contract.methods[0].refusals = vec![refusal("sold-out", 409)];
    let two: Edit = |contract| contract.methods.push(method("sell"));
    let noted: Edit = |contract| contract.methods[0].arguments.push(argument("note", schema::of::<String>()));
    let maybe_noted: Edit =
        |contract| contract.methods[0].arguments.push(argument("note", schema::of::<Option<Named>>()));
    let rows: [(&str, Edit, Edit, Expected); 18] = [
        ("nothing", nothing, nothing, &[]),
        ("a method is added", nothing, two, &["+.sell"]),
        ("a method is removed", two, nothing, &["-.sell"]),
        ("another name", nothing, |contract| contract.name = "store".into(), &["-"]),
        ("another version", two, |contract| contract.version = 2, &["-"]),
        ("words are for people", nothing, |contract| contract.methods[0].docs = "Buys.".into(), &[]),
        ("a required argument is added", nothing, noted, &["-.buy.arguments.note"]),
        ("an optional argument is added", nothing, maybe_noted, &["+.buy.arguments.note"]),
        ("an argument is removed", noted, nothing, &["+.buy.arguments.note"]),
        ("it may be repeated", nothing, idempotent, &["+.buy"]),
        ("it may not be repeated", idempotent, nothing, &["-.buy"]),
        ("a key is needed", idempotent, keyed, &["-.buy"]),
        ("no key is needed", keyed, idempotent, &["+.buy"]),
        (
            "the path changes",
            nothing,
            |contract| contract.methods[0].routes[0].path = "/b".into(),
            &["-.buy", "+.buy"],
        ),
        ("the status changes", nothing, |contract| contract.methods[0].routes[0].status = 201, &["-.buy"]),
        ("a refusal is added", nothing, refuses, &["+.buy.refusals.sold-out"]),
        ("a refusal is removed", refuses, nothing, &["-.buy.refusals.sold-out"]),
        (
            "the status of a refusal changes",
            refuses,
            |contract| contract.methods[0].refusals = vec![refusal("sold-out", 410)],
            &["-.buy.refusals.sold-out"],
        ),
    ];
    for (promise, before, after, expected) in rows {
        let (mut old, mut new) = (with_answer(Value::Null), with_answer(Value::Null));
        before(&mut old);
        after(&mut new);
        let changes = check_contract(&old, &new);
        assert_eq!(shown(&changes, "shop"), expected, "{promise}: {changes:#?}");
    }
}

#[test]
fn a_change_of_what_an_event_is_breaks_its_consumers() {
    type Edit = fn(&mut EventSpec);
    let rows: [(&str, Edit, Expected); 5] = [
        ("words are for people", |event| event.docs = "It was sold.".into(), &[]),
        ("the topic changes", |event| event.topic = "store".into(), &["-"]),
        ("the name changes", |event| event.name = "Bought".into(), &["-"]),
        ("the key changes", |event| event.key = "buyer".into(), &["-"]),
        ("the version changes", |event| event.version = 2, &["-"]),
    ];
    for (promise, edit, expected) in rows {
        let old = with_payload(schema::of::<Named>());
        let mut new = old.clone();
        edit(&mut new);
        let changes = check_event(&old, &new);
        assert_eq!(shown(&changes, "Sold"), expected, "{promise}: {changes:#?}");
    }
}

#[test]
fn a_change_says_who_cannot_read_what() {
    let changes =
        check_contract(&with_argument(schema::of::<Named>()), &with_argument(schema::of::<NamedAndOld>()));
    assert_eq!(
        changes[0].to_string(),
        "breaking: shop.buy.arguments.item.age: newer services need it, and older callers do not have it"
    );
    let changes = check_contract(&with_answer(schema::of::<u32>()), &with_answer(schema::of::<u64>()));
    assert_eq!(
        changes[0].to_string(),
        "breaking: shop.buy.answer: older callers read numbers from 0 to 4294967295, \
         and newer services write from 0 to 2^64"
    );
}

fn shown(changes: &[Change], root: &str) -> Vec<String> {
    changes
        .iter()
        .map(|change| {
            let path = change.path.strip_prefix(root).unwrap_or(&change.path);
            format!("{}{path}", if change.breaking { '-' } else { '+' })
        })
        .collect()
}

fn method(name: &str) -> Method {
    Method {
        name: name.into(),
        docs: String::new(),
        repeat: Repeat::Once,
        routes: vec![Route { verb: Verb::Post, path: format!("/{name}"), status: 200 }],
        arguments: Vec::new(),
        answer: schema::of::<()>(),
        refusals: Vec::new(),
    }
}

fn with_answer(answer: Value) -> Contract {
    let methods = vec![Method { answer, ..method("buy") }];
    Contract { name: "shop".into(), version: 1, docs: String::new(), methods }
}

fn with_argument(schema: Value) -> Contract {
    let methods = vec![Method { arguments: vec![argument("item", schema)], ..method("buy") }];
    Contract { name: "shop".into(), version: 1, docs: String::new(), methods }
}

fn with_payload(schema: Value) -> EventSpec {
    EventSpec {
        name: "Sold".into(),
        topic: "shop".into(),
        version: 1,
        key: "name".into(),
        docs: String::new(),
        schema,
    }
}

fn argument(name: &str, schema: Value) -> Argument {
    Argument { name: name.into(), schema }
}

fn refusal(code: &str, status: u16) -> RefusalSpec {
    RefusalSpec { code: code.into(), status, message: String::new() }
}
