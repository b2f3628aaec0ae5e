//! What the compiler says about a mistake, one file a mistake, named by it.

/// rustc lists who implements a trait, and that depends on the features: what is expected is what it says with all of
/// them, as `cargo xtask test` builds.
#[cfg(feature = "app")]
#[test]
fn a_mistake_in_a_definition_is_explained() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*/*.rs");
}
