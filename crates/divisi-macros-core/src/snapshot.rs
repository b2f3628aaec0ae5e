//! Generated code as a person would format it, for tests.

use expect_test::ExpectFile;
use proc_macro2::TokenStream;

/// Holds what was generated against what was reviewed. `UPDATE_EXPECT=1` takes it over.
pub(crate) fn check(generated: TokenStream, expected: &ExpectFile) {
    let file = syn::parse2(generated).expect("generated code is items");
    expected.assert_eq(&prettyplease::unparse(&file));
}
