//! F-34: a promise changes. What only adds is free; what breaks is named, and the command fails.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::command::binary;

#[test]
fn a_change_that_breaks_readers_fails_the_check_and_one_that_adds_does_not() {
    let today = promises();
    let same = check(&today);
    assert!(same.status.success(), "{same:?}");

    let mut older = today.clone();
    remove(&mut older, "PostCreated", "title");
    let adds_a_required_field = check(&older);
    assert!(!adds_a_required_field.status.success(), "events that were stored before lack it");

    let mut richer = today.clone();
    event(&mut richer, "PostCreated")["schema"]["properties"]["author"] = json!({ "type": "string" });
    event(&mut richer, "PostCreated")["schema"]["required"] = json!(["id", "title", "author"]);
    let removes_a_required_field = check(&richer);
    assert!(!removes_a_required_field.status.success(), "consumers of yesterday need it");
    let words = String::from_utf8_lossy(&removes_a_required_field.stdout).into_owned();
    assert!(words.contains("author") && words.contains("PostCreated"), "{words}");
}

/// What the blog promises today, as `contracts` prints it.
fn promises() -> Value {
    let output = blog(&["contracts"]);
    serde_json::from_slice(&output.stdout).expect("`contracts` prints JSON")
}

fn check(against: &Value) -> Output {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("promises.json");
    std::fs::write(&file, against.to_string()).expect("the file");
    blog(&["check", "--against", path(&file)])
}

fn blog(arguments: &[&str]) -> Output {
    binary().args(arguments).output().expect("the blog runs")
}

fn path(file: &Path) -> &str {
    file.to_str().expect("a path of letters")
}

fn event<'a>(promises: &'a mut Value, name: &str) -> &'a mut Value {
    let events = promises["events"].as_array_mut().expect("events");
    events.iter_mut().find(|event| event["name"] == name).expect("the event")
}

fn remove(promises: &mut Value, name: &str, field: &str) {
    let schema = &mut event(promises, name)["schema"];
    schema["properties"].as_object_mut().expect("properties").remove(field);
    schema["required"].as_array_mut().expect("required").retain(|required| required != field);
}
