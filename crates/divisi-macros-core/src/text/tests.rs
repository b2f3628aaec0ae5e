use super::{camel, is_kebab, kebab};

#[test]
fn a_type_name_becomes_kebab_case() {
    for (camel, expected) in [
        ("Comments", "comments"),
        ("NoSuchPost", "no-such-post"),
        ("HTTPError", "http-error"),
        ("Over9000", "over9000"),
        ("of_post", "of-post"),
    ] {
        assert_eq!(kebab(camel), expected);
        assert!(is_kebab(expected), "{expected}");
    }
}

#[test]
fn what_is_not_kebab_case_is_told_apart() {
    for name in ["", "Comments", "no_such", "-post", "post-", "a--b", "9lives", "ä"] {
        assert!(!is_kebab(name), "{name}");
    }
}

#[test]
fn a_method_name_becomes_camel_case() {
    assert_eq!(camel("of_post"), "OfPost");
    assert_eq!(camel("add"), "Add");
}
