//! What an unknown name says.

use super::unknown;

#[test]
fn a_wrong_name_says_which_there_are_and_which_is_nearest() {
    let check = |name: &str, known: &[&str], says: &str| {
        let known = known.iter().map(|known| (*known).to_owned()).collect();
        assert_eq!(unknown("consumer", name, known).to_string(), says);
    };
    let known = ["comments", "moderation", "query.posts"];
    let there_are = "there are `comments`, `moderation`, `query.posts`";
    check(
        "coments",
        &known,
        &format!("there is no consumer `coments` (did you mean `comments`?); {there_are}"),
    );
    check(
        "posts",
        &known,
        &format!("there is no consumer `posts` (did you mean `query.posts`?); {there_are}"),
    );
    check("zebra", &known, &format!("there is no consumer `zebra`; {there_are}"));
    check("x", &["comments"], "there is no consumer `x`; there is `comments`");
    check("x", &[], "there is no consumer `x`; there are none");
}
