use super::*;

fn check(query: &str, expected: &[(&str, &str)], expected_wrong: &[&str]) {
    let mut wrong = Vec::new();
    let read = read(query, &["after", "limit"], &mut wrong);
    let read: Vec<(&str, &str)> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(read, expected, "{query}");
    assert_eq!(
        wrong.iter().map(|error| error.message.as_str()).collect::<Vec<_>>(),
        expected_wrong,
        "{query}"
    );
}

#[test]
fn a_query_is_read_like_a_form() {
    check("", &[], &[]);
    check("after=a+b%2B&limit=3", &[("after", "a b+"), ("limit", "3")], &[]);
    check("limit", &[("limit", "")], &[]);
    check("&&limit=3&", &[("limit", "3")], &[]);
    check("after=a=b", &[("after", "a=b")], &[]);
    check("%61fter=1", &[("after", "1")], &[]);
    check("utm=1&utm=2&limit=3", &[("limit", "3")], &[]);
}

#[test]
fn what_cannot_be_read_is_named_once() {
    check("limit=1&limit=2&limit=3", &[("limit", "1")], &["is given twice"]);
    let broken = "has a `%` that is not followed by two hexadecimal digits";
    check("limit=%&after=1", &[("after", "1")], &[broken]);
    check("%=1&%=2", &[], &[&format!("a name in the query {broken}")]);
}
