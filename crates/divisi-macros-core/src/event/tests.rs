use expect_test::expect_file;
use quote::quote;

use super::event;
use crate::snapshot::check;

#[test]
fn an_event_becomes_a_struct_with_a_topic_and_a_key() {
    let generated = event(
        quote!(topic = "comments", key = "post", version = 2),
        quote! {
            /// A comment was added.
            #[derive(Clone, serde::Serialize)]
            pub struct CommentCreated {
                pub id: CommentId,
                pub post: PostId,
            }
        },
    );
    check(generated, &expect_file!["../../tests/snapshots/event.rs"]);
}

#[test]
fn an_event_with_a_mistake_keeps_its_struct() {
    let generated = event(
        quote!(topic = "comments"),
        quote!(
            struct CommentCreated {
                id: u64,
            }
        ),
    );
    check(generated, &expect_file!["../../tests/snapshots/event_with_a_mistake.rs"]);
}
