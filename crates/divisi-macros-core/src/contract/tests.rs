use expect_test::expect_file;
use quote::quote;

use super::contract;
use crate::snapshot::check;

#[test]
fn a_contract_becomes_a_trait_a_client_and_what_carries_calls_between_them() {
    let generated = contract(
        quote!(),
        quote! {
            /// What comments promises.
            pub trait Comments {
                /// Adds a comment.
                #[post("/posts/{post}/comments", status = 201, keyed)]
                async fn add(&self, cx: &Context, post: PostId, comment: NewComment) -> Answer<Comment, AddRefused>;
                #[get("/comments")]
                async fn all(&self, cx: &Context) -> Answer<Vec<Comment>>;
            }
        },
    );
    check(generated, &expect_file!["../../tests/snapshots/contract.rs"]);
}

#[test]
fn options_change_name_version_and_path() {
    let generated = contract(
        quote!(name = "remarks", version = 3, crate = crate::toolkit),
        quote! {
            trait Comments {
                async fn r#move(&self, context: &divisi::Context, r#type: u8) -> divisi::Answer<()>;
            }
        },
    );
    check(generated, &expect_file!["../../tests/snapshots/contract_with_options.rs"]);
}

#[test]
fn a_contract_with_a_mistake_keeps_its_trait() {
    let generated = contract(
        quote!(),
        quote! {
            trait Comments {
                #[get("/comments")]
                async fn all(&self, cx: &Context) -> Vec<Comment>;
                async fn one(&self, cx: &Context, id: u64) -> Answer<Comment>;
            }
        },
    );
    check(generated, &expect_file!["../../tests/snapshots/contract_with_a_mistake.rs"]);
}

#[test]
fn code_that_does_not_parse_is_left_to_the_compiler() {
    let broken = quote!(trait Comments { async fn add(&self, cx: &Context) -> ; });
    assert_eq!(contract(quote!(), broken.clone()).to_string(), broken.to_string());
}
