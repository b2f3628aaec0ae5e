use super::Chain;

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Step {
    message: &'static str,
    source: Option<Box<Step>>,
}

fn chain(messages: &[&'static str]) -> String {
    let error = messages.iter().rev().fold(None, |source, message| Some(Box::new(Step { message, source })));
    Chain(&*error.expect("one message")).to_string()
}

#[test]
fn an_error_is_followed_by_its_causes() {
    assert_eq!(
        chain(&["cannot open it", "no permission", "not the owner"]),
        "cannot open it: no permission: not the owner"
    );
}

#[test]
fn what_only_repeats_the_message_before_is_left_out() {
    assert_eq!(
        chain(&["cannot open it", "cannot open it", "no", "no", "cannot open it"]),
        "cannot open it: no: cannot open it"
    );
}

#[test]
fn it_stays_one_line() {
    assert_eq!(chain(&["cannot open it", "first\nsecond"]), "cannot open it: first; second");
}
