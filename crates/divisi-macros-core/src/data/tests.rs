use expect_test::expect_file;
use quote::quote;

use super::data;
use crate::snapshot::check;

#[test]
fn a_value_derives_what_it_does_not_have_yet() {
    let generated = data(
        quote!(crate = crate),
        quote! {
            #[derive(Copy, Clone, Eq)]
            struct PostId(u64);
        },
    );
    check(generated, &expect_file!["../../tests/snapshots/data.rs"]);
}
