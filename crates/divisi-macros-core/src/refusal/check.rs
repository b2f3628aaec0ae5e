//! The rules of a refusal, a function each.

use std::collections::HashMap;

use syn::Fields;

use super::message;
use super::parse::{Reason, Refusal, Says};
use crate::errors::Errors;
use crate::text::kebab;

/// Notes everything that is wrong with `refusal`.
pub(super) fn refusal(refusal: &Refusal, errors: &mut Errors) {
    is_one_type(refusal, errors);
    has_a_reason(refusal, errors);
    codes_differ(refusal, errors);
    for reason in &refusal.reasons {
        says_one_thing(reason, errors);
        comes_from_its_only_field(reason, errors);
        for says in &reason.says {
            has_a_good_status(says, errors);
            names_its_fields(reason, says, errors);
        }
    }
}

fn is_one_type(refusal: &Refusal, errors: &mut Errors) {
    let generics = &refusal.item.generics;
    if !generics.params.is_empty() {
        errors.push(generics, "a refusal has no generics and no lifetimes: callers must know every type");
    }
}

fn has_a_reason(refusal: &Refusal, errors: &mut Errors) {
    if refusal.reasons.is_empty() {
        errors.push(
            &refusal.item.ident,
            "a refusal has a variant a reason; a method that never refuses returns `Answer<T>`",
        );
    }
}

fn codes_differ(refusal: &Refusal, errors: &mut Errors) {
    let mut seen = HashMap::new();
    for reason in &refusal.reasons {
        let ident = &reason.variant.ident;
        let code = kebab(&ident.to_string());
        if let Some(first) = seen.insert(code.clone(), ident) {
            errors.push(ident, format!("`{first}` and `{ident}` would both have the code `{code}`"));
        }
    }
}

fn says_one_thing(reason: &Reason, errors: &mut Errors) {
    let ident = &reason.variant.ident;
    match reason.says.as_slice() {
        [] if !reason.unreadable => errors.push(
            ident,
            format!(
                "`{ident}` says its status and a sentence, like `#[refuse(404, \"no post has this id\")]`"
            ),
        ),
        [] | [_] => {}
        [_, more, ..] => {
            errors.push(&more.message, format!("`{ident}` says its status and sentence already"))
        }
    }
}

fn comes_from_its_only_field(reason: &Reason, errors: &mut Errors) {
    if let Some((attribute, _)) = &reason.from
        && !(matches!(reason.variant.fields, Fields::Unnamed(_)) && reason.variant.fields.len() == 1)
    {
        errors.push(
            attribute,
            "`#[from]` stands on the only field of a variant, like `Invalid(#[from] Invalid)`",
        );
    }
}

fn has_a_good_status(says: &Says, errors: &mut Errors) {
    if !says.status.base10_parse::<u16>().is_ok_and(|status| (400..500).contains(&status)) {
        errors.push(
            &says.status,
            "the status of a refusal is from 400 to 499: it is about the request, not about trouble of the service",
        );
    }
}

fn names_its_fields(reason: &Reason, says: &Says, errors: &mut Errors) {
    let fields = &reason.variant.fields;
    let known: Vec<String> = fields
        .iter()
        .enumerate()
        .map(|(n, field)| field.ident.as_ref().map_or_else(|| n.to_string(), ToString::to_string))
        .collect();
    for name in message::fields(&says.message.value()) {
        if known.contains(&name) {
            continue;
        }
        let has = if known.is_empty() {
            "it has no fields".to_owned()
        } else {
            format!("it has `{{{}}}`", known.join("}`, `{"))
        };
        errors
            .push(&says.message, format!("`{{{name}}}` is not a field of `{}`; {has}", reason.variant.ident));
    }
}
