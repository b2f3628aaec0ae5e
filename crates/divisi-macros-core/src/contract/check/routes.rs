//! The rules of routes.

use std::collections::{BTreeSet, HashSet};

use syn::ext::IdentExt;

use crate::contract::parse::{Contract, Method, Route, Segment, segments};
use crate::errors::Errors;

/// Each route of `method` for itself, then all of them together.
pub(super) fn of_method(method: &Method, errors: &mut Errors) {
    for route in &method.routes {
        is_a_path(route, errors);
        has_known_arguments(method, route, errors);
        has_one_body(method, route, errors);
        has_a_good_status(route, errors);
    }
    take_arguments_from_the_same_places(method, errors);
}

/// No two methods stand at the same place.
pub(super) fn differ(contract: &Contract, errors: &mut Errors) {
    let mut seen = HashSet::new();
    for route in contract.methods.iter().flat_map(|method| &method.routes) {
        let path = route.path.value();
        let shape: Vec<String> = segments(&path)
            .map(|segment| match segment {
                Segment::Text(text) => text.to_owned(),
                Segment::Argument(_) => "{}".to_owned(),
            })
            .collect();
        if !seen.insert((route.verb.name(), shape)) {
            errors.push(
                &route.path,
                format!("another method has the route `{} {path}`", route.verb.name().to_uppercase()),
            );
        }
    }
}

fn is_a_path(route: &Route, errors: &mut Errors) {
    let path = route.path.value();
    if !path.starts_with('/') {
        errors.push(&route.path, "a path starts with `/`");
        return;
    }
    if path == "/" {
        return;
    }
    for segment in segments(&path) {
        let fits = match segment {
            Segment::Text(text) => {
                !text.is_empty()
                    && text.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-_.~".contains(&letter))
            }
            Segment::Argument(name) => !name.is_empty(),
        };
        if !fits {
            errors.push(
                &route.path,
                "between two slashes of a path stand plain letters, digits and `-_.~`, or one argument in braces: \
                 `/posts/{post}/comments`",
            );
            return;
        }
    }
}

fn has_known_arguments(method: &Method, route: &Route, errors: &mut Errors) {
    let path = route.path.value();
    let mut seen = HashSet::new();
    for name in path_arguments(&path) {
        if !method.arguments.iter().any(|argument| argument.ident.unraw() == name) {
            let known: Vec<String> =
                method.arguments.iter().map(|argument| format!("`{}`", argument.ident.unraw())).collect();
            let known = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", known.join(", "))
            };
            errors.push(&route.path, format!("the method has no argument `{name}`; {known}"));
        }
        if !seen.insert(name) {
            errors.push(&route.path, format!("`{{{name}}}` stands twice in the path"));
        }
    }
}

fn has_one_body(method: &Method, route: &Route, errors: &mut Errors) {
    let path = route.path.value();
    let in_path: HashSet<&str> = path_arguments(&path).collect();
    let in_body: Vec<String> = method
        .arguments
        .iter()
        .map(|argument| argument.ident.unraw().to_string())
        .filter(|name| !in_path.contains(name.as_str()))
        .collect();
    if route.verb.has_body() && in_body.len() > 1 {
        errors.push(
            &route.path,
            format!(
                "`{}` would each be the body: put them into one struct, or into the path",
                in_body.join("` and `")
            ),
        );
    }
}

fn has_a_good_status(route: &Route, errors: &mut Errors) {
    if let Some(status) = &route.status
        && !status.base10_parse::<u16>().is_ok_and(|status| (200..300).contains(&status))
    {
        errors.push(status, "the status of an answer is from 200 to 299; a refusal brings its own");
    }
}

/// A gateway hands over path, query and body without saying by which route they came.
fn take_arguments_from_the_same_places(method: &Method, errors: &mut Errors) {
    let Some(first) = method.routes.first() else { return };
    let first_path = first.path.value();
    let first_in_path: BTreeSet<&str> = path_arguments(&first_path).collect();
    let all_in_path = first_in_path.len() == method.arguments.len();
    for route in &method.routes[1..] {
        let path = route.path.value();
        let in_path: BTreeSet<&str> = path_arguments(&path).collect();
        if in_path != first_in_path || (!all_in_path && route.verb.has_body() != first.verb.has_body()) {
            errors.push(
                &route.attribute,
                "the routes of one method take each argument from the same place: path, query or body",
            );
        }
    }
}

/// The names in braces.
fn path_arguments(path: &str) -> impl Iterator<Item = &str> {
    segments(path).filter_map(|segment| match segment {
        Segment::Argument(name) => Some(name),
        Segment::Text(_) => None,
    })
}
