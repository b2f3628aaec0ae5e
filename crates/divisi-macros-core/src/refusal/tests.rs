use expect_test::expect_file;
use quote::quote;

use super::message::{fields, with_names};
use super::refusal;
use crate::snapshot::check;

#[test]
fn a_refusal_becomes_an_enum_that_speaks() {
    let generated = refusal(
        quote!(),
        quote! {
            /// Why a comment was not added.
            pub enum AddRefused {
                #[refuse(404, "no post has the id {0}")]
                NoSuchPost(PostId),
                #[refuse(429, "at most {limit} a minute")]
                TooMany { limit: u32, window: u32 },
                #[refuse(422, "it breaks a rule")]
                Invalid(#[from] Invalid),
            }
        },
    );
    check(generated, &expect_file!["../../tests/snapshots/refusal.rs"]);
}

#[test]
fn a_refusal_with_a_mistake_keeps_its_enum() {
    let generated = refusal(
        quote!(),
        quote!(
            enum No {
                #[refuse(500, "no")]
                Never,
            }
        ),
    );
    check(generated, &expect_file!["../../tests/snapshots/refusal_with_a_mistake.rs"]);
}

#[test]
fn the_fields_of_a_message_are_found() {
    for (message, expected) in [
        ("no post has this id", &[][..]),
        ("no {thing} has the id {0:?}", &["thing", "0"]),
        ("a {{brace}} and {one}", &["one"]),
        ("an open {brace", &["brace"]),
        ("nothing in {}", &[""]),
    ] {
        assert_eq!(fields(message), expected, "{message}");
    }
}

#[test]
fn a_position_becomes_a_name_that_a_variable_can_have() {
    assert_eq!(with_names("{0} of {12:?}, {{0}} and {name}"), "{_0} of {_12:?}, {{0}} and {name}");
}
