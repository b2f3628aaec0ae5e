//! What the compiler says about a mistake, one file a mistake, named by it.

#[test]
fn a_mistake_in_a_definition_is_explained() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*/*.rs");
}
