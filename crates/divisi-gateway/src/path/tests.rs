use super::*;

const BROKEN: &str = "has a `%` that is not followed by two hexadecimal digits";

#[test]
fn what_is_percent_encoded_is_decoded() {
    let check = |text, plus, expected: Result<&str, &'static str>| {
        assert_eq!(decoded(text, plus), expected.map(str::to_owned), "{text}");
    };
    check("plain", Plus::IsPlus, Ok("plain"));
    check("a%20b%2Fc%C3%A9", Plus::IsPlus, Ok("a b/cé"));
    check("a+b", Plus::IsPlus, Ok("a+b"));
    check("a+b%2B", Plus::IsSpace, Ok("a b+"));
    check("", Plus::IsSpace, Ok(""));
    for text in ["%", "%2", "a%zz", "%2g", "%-1", "%é"] {
        check(text, Plus::IsPlus, Err(BROKEN));
    }
    assert_eq!(decoded("%ff", Plus::IsPlus), Err("is not UTF-8 once it is percent-decoded"));
}

#[test]
fn a_template_that_cannot_be_served_is_refused_in_words() {
    for path in
        ["", "posts", "//", "/a//b", "/a/", "/{", "/{}", "/{*all}", "/{a}.json", "/a b", "/{a}/{a}", "/*"]
    {
        assert!(Template::parse(path).is_err(), "`{path}` was taken");
    }
}

#[test]
fn templates_that_differ_in_names_alone_have_one_pattern() {
    let pattern = |path| Template::parse(path).map(|template| template.pattern());
    assert_eq!(pattern("/posts/{post}"), pattern("/posts/{id}"));
    assert_ne!(pattern("/posts/{post}"), pattern("/posts/new"));
    assert_eq!(pattern("/").as_deref(), Ok("/"));
}

#[test]
fn arguments_are_read_from_their_segments_and_all_that_is_wrong_is_named() {
    let template = Template::parse("/a/{first}/b/{second}").unwrap();
    let mut wrong = Vec::new();
    assert_eq!(template.read("/a/1/b/x%20y", &mut wrong), [("first", "1".into()), ("second", "x y".into())]);
    assert!(wrong.is_empty());
    template.read("/a/%/b/%ff", &mut wrong);
    assert_eq!(
        wrong.iter().filter_map(|error| error.field.as_deref()).collect::<Vec<_>>(),
        ["first", "second"]
    );
}
