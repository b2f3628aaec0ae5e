use super::*;

fn refused(change: impl FnOnce(&mut Options)) -> Option<String> {
    let mut options = Options::new("blog", "127.0.0.1:9092");
    change(&mut options);
    options.check().err().map(|error| error.to_string())
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_asked() {
    assert_eq!(refused(|_| {}), None);
    assert!(refused(|options| options.brokers = " ".to_owned()).is_some());
    assert!(refused(|options| options.partitions = 0).is_some());
    let words = refused(|options| options.replication = 1).expect("two of one copy");
    assert!(words.contains("insync_min is 2") && words.contains("replication is 1"), "{words}");
}

#[test]
fn a_build_without_encryption_says_which_feature_brings_it() {
    let scram = |options: &mut Options| {
        options.credentials = Some(Credentials::new(Mechanism::ScramSha512, "posts", "secret"));
    };
    let tls = |options: &mut Options| options.tls = Some(Tls::default());
    for words in [refused(scram), refused(tls)] {
        assert_eq!(words.is_none(), ENCRYPTS);
        assert!(words.is_none_or(|words| words.contains("feature `ssl`")));
    }
}

#[test]
fn a_password_is_not_shown() {
    let credentials = Credentials::new(Mechanism::Plain, "posts", "a secret");
    assert!(!format!("{credentials:?}").contains("a secret"));
}
