//! An old promise against a new one: additive, or breaking.
//!
//! What matters is who reads what the other one writes. A newer service reads what older callers send; older callers
//! read what a newer service answers; older consumers read newer events, and newer consumers read the older events
//! that are still in the log. Documentation may change at will.

mod shape;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Contract, EventSpec, Method, RefusalSpec, Repeat, Route};
use shape::Sides;

/// One difference between an old promise and a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where: `comments.add.arguments.comment.content`.
    pub path: String,
    /// What changed and whom it concerns, for people.
    pub sentence: String,
    /// Whether an old and a new side no longer understand each other.
    pub breaking: bool,
}

/// What changed between two versions of a contract; empty when callers cannot tell.
///
/// ```
/// use divisi_contract::compatibility::check_contract;
/// use divisi_contract::Contract;
///
/// let old = Contract { name: "posts".into(), version: 1, docs: String::new(), methods: Vec::new() };
/// let new = Contract { docs: "Posts.".into(), ..old.clone() };
/// assert!(check_contract(&old, &new).is_empty());
/// ```
pub fn check_contract(old: &Contract, new: &Contract) -> Vec<Change> {
    let mut found = Vec::new();
    let mut changes = Changes { found: &mut found, path: old.name.clone() };
    if old.name != new.name {
        changes.breaking(format!("the contract is called `{}` now: older callers do not find it", new.name));
        return found;
    }
    if old.version != new.version {
        changes.breaking(format!(
            "version {} became {}: callers with the older one are turned away",
            old.version, new.version
        ));
        return found;
    }
    for method in &old.methods {
        match new.method(&method.name) {
            Some(newer) => check_method(method, newer, &mut changes.below(&method.name)),
            None => changes.below(&method.name).breaking("the method is gone, and older callers call it"),
        }
    }
    for method in new.methods.iter().filter(|method| old.method(&method.name).is_none()) {
        changes.below(&method.name).additive("the method is new");
    }
    found
}

/// What changed between two versions of an event; empty when consumers cannot tell.
pub fn check_event(old: &EventSpec, new: &EventSpec) -> Vec<Change> {
    let mut found = Vec::new();
    let mut changes = Changes { found: &mut found, path: old.name.clone() };
    for (what, was, is) in [("name", &old.name, &new.name), ("topic", &old.topic, &new.topic)] {
        if was != is {
            changes.breaking(format!(
                "the {what} `{was}` became `{is}`: older consumers wait for the older one"
            ));
        }
    }
    if old.key != new.key {
        changes.breaking(format!(
            "the key was `{}` and is `{}`: events that stayed in order no longer do",
            old.key, new.key
        ));
    }
    if old.version != new.version {
        changes.breaking(format!(
            "version {} became {}: consumers of the older one do not read it",
            old.version, new.version
        ));
        return found;
    }
    check_shape(&old.schema, &new.schema, &[Sides::PUBLISHED, Sides::STORED], &mut changes);
    found
}

fn check_method(old: &Method, new: &Method, changes: &mut Changes<'_>) {
    check_repeat(old.repeat, new.repeat, changes);
    check_routes(&old.routes, &new.routes, changes);
    check_arguments(old, new, changes);
    check_shape(&old.answer, &new.answer, &[Sides::ANSWERED], &mut changes.below("answer"));
    check_refusals(&old.refusals, &new.refusals, changes);
}

fn check_repeat(old: Repeat, new: Repeat, changes: &mut Changes<'_>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Repeat::Once, _) => changes.additive("callers may repeat it now"),
        (Repeat::Keyed, Repeat::Idempotent) => changes.additive("callers may repeat it without a key now"),
        (Repeat::Idempotent, Repeat::Keyed) => {
            changes.breaking("it needs a key to be repeated now, and older callers repeat it without one");
        }
        (_, _) => changes.breaking("it may not be repeated any more, and older callers repeat it"),
    }
}

fn check_routes(old: &[Route], new: &[Route], changes: &mut Changes<'_>) {
    let same = |a: &Route, b: &Route| a.verb == b.verb && a.path == b.path;
    for route in old {
        let shown = format!("{} {}", route.verb.as_str(), route.path);
        match new.iter().find(|newer| same(newer, route)) {
            None => changes.breaking(format!("the route `{shown}` is gone")),
            Some(newer) if newer.status != route.status => changes.breaking(format!(
                "`{shown}` answers with status {} now, and with {} before",
                newer.status, route.status
            )),
            Some(_) => {}
        }
    }
    for route in new.iter().filter(|route| !old.iter().any(|older| same(older, route))) {
        changes.additive(format!("the route `{} {}` is new", route.verb.as_str(), route.path));
    }
}

fn check_arguments(old: &Method, new: &Method, changes: &mut Changes<'_>) {
    let mut changes = changes.below("arguments");
    for argument in &old.arguments {
        let mut changes = changes.below(&argument.name);
        match new.arguments.iter().find(|newer| newer.name == argument.name) {
            Some(newer) => check_shape(&argument.schema, &newer.schema, &[Sides::SENT], &mut changes),
            None => changes.additive("the argument is gone; what older callers send is passed over"),
        }
    }
    for argument in &new.arguments {
        if old.arguments.iter().any(|older| older.name == argument.name) {
            continue;
        }
        let mut changes = changes.below(&argument.name);
        if shape::may_be_null(&argument.schema) {
            changes.additive("the argument is new and may be absent");
        } else {
            changes.breaking("the argument is new and required, and older callers do not send it");
        }
    }
}

fn check_refusals(old: &[RefusalSpec], new: &[RefusalSpec], changes: &mut Changes<'_>) {
    let mut changes = changes.below("refusals");
    for refusal in old {
        let mut changes = changes.below(&refusal.code);
        match new.iter().find(|newer| newer.code == refusal.code) {
            None => changes.breaking("the refusal is gone, and older callers look for it"),
            Some(newer) if newer.status != refusal.status => changes.breaking(format!(
                "the status {} became {}: callers over HTTP look at it",
                refusal.status, newer.status
            )),
            Some(_) => {}
        }
    }
    for refusal in new {
        if !old.iter().any(|older| older.code == refusal.code) {
            changes
                .below(&refusal.code)
                .additive("the refusal is new; to an older caller it is a call that changed nothing");
        }
    }
}

fn check_shape(old: &Value, new: &Value, sides: &[Sides], changes: &mut Changes<'_>) {
    let mut breaks = false;
    for sides in sides {
        for problem in shape::problems(old, new, *sides) {
            breaks = true;
            changes.below_path(&problem.path).breaking(problem.sentence);
        }
    }
    if breaks {
        return;
    }
    let (before, after) = (shape::fields(old), shape::fields(new));
    for field in after.difference(&before) {
        changes.below_path(field).additive("the field is new");
    }
    for field in before.difference(&after) {
        changes.below_path(field).additive("the field is gone, and nobody misses it");
    }
    if before == after && shape::without_words(old) != shape::without_words(new) {
        changes.additive("it changed, and both versions read it");
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.breaking { "breaking" } else { "additive" };
        write!(f, "{kind}: {}: {}", self.path, self.sentence)
    }
}

/// The changes found so far, and the place that is looked at.
struct Changes<'a> {
    found: &'a mut Vec<Change>,
    path: String,
}

impl Changes<'_> {
    fn below(&mut self, name: &str) -> Changes<'_> {
        Changes { path: format!("{}.{name}", self.path), found: self.found }
    }

    /// Like [`Changes::below`], for a path that is empty or starts with a dot.
    fn below_path(&mut self, path: &str) -> Changes<'_> {
        Changes { path: format!("{}{path}", self.path), found: self.found }
    }

    fn breaking(&mut self, sentence: impl Into<String>) {
        self.found.push(Change { path: self.path.clone(), sentence: sentence.into(), breaking: true });
    }

    fn additive(&mut self, sentence: impl Into<String>) {
        self.found.push(Change { path: self.path.clone(), sentence: sentence.into(), breaking: false });
    }
}

#[cfg(test)]
mod tests;
