//! The rules of an event, a function each.

use proc_macro2::Span;
use syn::Data;

use super::parse::Event;
use crate::errors::Errors;
use crate::text::is_kebab;

/// Notes everything that is wrong with `event`.
pub(super) fn event(event: &Event, errors: &mut Errors) {
    is_a_struct(event, errors);
    is_one_type(event, errors);
    has_a_topic(event, errors);
    has_a_key(event, errors);
}

fn is_a_struct(event: &Event, errors: &mut Errors) {
    let ident = &event.item.ident;
    match &event.item.data {
        Data::Struct(_) if event.fields().is_some() => {}
        Data::Struct(_) => errors.push(
            ident,
            "an event has named fields: readers in other languages, and later versions, find them by name",
        ),
        Data::Enum(_) => errors.push(
            ident,
            "an event is a struct: each variant is an event of its own, with a name that says what happened",
        ),
        Data::Union(_) => errors.push(ident, "an event is a struct: a union cannot travel"),
    }
}

fn is_one_type(event: &Event, errors: &mut Errors) {
    let generics = &event.item.generics;
    if !generics.params.is_empty() {
        errors.push(generics, "an event has no generics and no lifetimes: readers must know every type");
    }
}

fn has_a_topic(event: &Event, errors: &mut Errors) {
    match &event.topic {
        None => errors.add(syn::Error::new(
            Span::call_site(),
            "an event names its topic, like `#[event(topic = \"comments\", key = \"post\")]`",
        )),
        Some(topic) if !is_kebab(&topic.value()) => {
            errors.push(topic, "a topic is in kebab-case, like `blog-comments`");
        }
        Some(_) => {}
    }
}

fn has_a_key(event: &Event, errors: &mut Errors) {
    let Some(key) = &event.key else {
        errors.add(syn::Error::new(
            Span::call_site(),
            "an event names its key, like `#[event(topic = \"comments\", key = \"post\")]`: \
             events of one topic with the same key stay in order",
        ));
        return;
    };
    let Some(fields) = event.fields() else { return };
    if event.key_field().is_none() {
        let known: Vec<String> =
            fields.filter_map(|field| field.ident.as_ref()).map(|ident| format!("`{ident}`")).collect();
        let known =
            if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        errors.push(key, format!("the event has no field `{}`; {known}", key.value()));
    }
}
