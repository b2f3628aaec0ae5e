//! Credentials, certificates and tokens: the right ones open, others do not.
//!
//! The certificates in `tls` are for 127.0.0.1, until 2126. The key opens nothing but these tests.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use divisi_events::carrier::{Carried, Carrier, CarrierError};
use divisi_nats::{Credentials, Nats, Options, Rights, StreamOptions, Tls, User};
use divisi_servers::Nats as Server;
use divisi_servers::nats::Settings;
use divisi_store::{Epochs, Lane, Pos};
use nkeys::KeyPair;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{PATIENCE, next_pos, options, publish};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_opens_and_a_wrong_one_does_not() {
    let server = with_conf(r#"authorization { users = [ { user: "posts", password: "secret" } ] }"#).await;
    let with = |password: &str| Options {
        credentials: Credentials::Password { user: "posts".to_owned(), password: password.to_owned() },
        ..options(&server)
    };
    assert!(!format!("{:?}", with("secret")).contains("secret"), "a secret is not shown");
    opens(with("secret")).await;
    does_not_open(with("wrong")).await;
    let in_address =
        |password| Options { servers: vec![server.url_for("posts", password)], ..options(&server) };
    opens(in_address("secret")).await;
    does_not_open(in_address("wrong")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_and_none_does_not() {
    let server = with_conf(r#"authorization { token: "secret" }"#).await;
    let token = Credentials::Token("secret".to_owned());
    assert!(!format!("{token:?}").contains("secret"), "a secret is not shown");
    opens(Options { credentials: token, ..options(&server) }).await;
    does_not_open(options(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_and_a_client_prove_who_they_are_by_certificates() {
    let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name);
    let (root, leaf, key) = (file("root.pem"), file("leaf.pem"), file("leaf.key"));
    let conf = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        leaf.display(),
        key.display(),
        root.display()
    );
    let server = with_conf(&conf).await;
    let with = |roots: Option<&PathBuf>, certificate: Option<(&PathBuf, &PathBuf)>| {
        let certificate = certificate.map(|(leaf, key)| (leaf.clone(), key.clone()));
        Options { tls: Tls { required: true, roots: roots.cloned(), certificate }, ..options(&server) }
    };
    opens(with(Some(&root), Some((&leaf, &key)))).await;
    does_not_open(with(None, Some((&leaf, &key)))).await;
    does_not_open(with(Some(&root), None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_encrypt_is_refused_where_it_must() {
    let server = crate::support::server().await;
    does_not_open(Options { tls: Tls { required: true, ..Tls::default() }, ..options(&server) }).await;
}

/// What `docs/nats.md` says that a source and a reader need, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_permissions_are_enough_and_a_reader_cannot_publish() {
    let market = Options::new("market", ["nats://127.0.0.1"]);
    let shop = Rights::of(&market, "shop", ["sales"], []).expect("a topic");
    let ledger = Rights::of(&market, "ledger", [], ["sales"]).expect("a topic");
    let list = [
        User { name: "operator", password: Some("o"), rights: None },
        User { name: "shop", password: Some("s"), rights: Some(&shop) },
        User { name: "ledger", password: Some("l"), rights: Some(&ledger) },
    ];
    let list = divisi_nats::users(&list, "").expect("a list");
    let server = with_conf(&format!("authorization {{ {list} }}")).await;
    let as_user = |user: &str, password: &str, create| Options {
        credentials: Credentials::Password { user: user.to_owned(), password: password.to_owned() },
        stream: StreamOptions { create, ..StreamOptions::default() },
        ack_within: Duration::from_millis(500),
        ..options(&server)
    };
    for made in [true, false] {
        let streams = divisi_nats::provision(as_user("operator", "o", true), &["sales"]).await;
        assert_eq!(streams.expect("the operator may"), [("evt_sales".to_owned(), made)]);
    }
    let shop = Nats::connect(as_user("shop", "s", false)).await.expect("a carrier");
    let ledger = Nats::connect(as_user("ledger", "l", false)).await.expect("a carrier");
    let published = publish(&shop, "sales", Lane(5), 1..=2, 1).await;
    let hint = published[0].clone().expect("the shop publishes");
    for lanes in [vec![5], (0..64).collect()] {
        let from = lanes.into_iter().map(|lane| (Lane(lane), Some(hint.clone()))).collect();
        let mut arrivals = ledger.read(&"shop".into(), "sales", from).await.expect("the ledger reads");
        assert_eq!(next_pos(&mut *arrivals).await, 2);
        let (epochs, heads) = (Epochs::default(), vec![(Lane(5), Pos(2))]);
        shop.beacon(&"shop".into(), "sales", &epochs, &heads).await.expect("the shop tells its heads");
        let arrived = timeout(PATIENCE, arrivals.next()).await.expect("in time");
        assert!(matches!(arrived, Some(Ok(Carried::Beacon { .. }))), "{arrived:?}");
    }
    let refused = publish(&ledger, "sales", Lane(5), [3], 1).await;
    let words = refused[0].as_ref().expect_err("the ledger may not publish").to_string();
    assert!(words.contains("does not let the user `ledger` publish to `evt.sales.5`"), "{words}");
    let error = shop.check("returns").await.expect_err("it is not its business").to_string();
    assert!(error.contains("the user `shop` publish to `$JS.API.STREAM.INFO.evt_returns`"), "{error}");
    let refused = divisi_nats::provision(as_user("shop", "wrong", true), &["sales"]).await;
    let error = refused.map_err(|error| error.source().map(ToString::to_string));
    let words = error.expect_err("a wrong password").unwrap_or_default();
    assert!(words.contains("it refuses the user `shop`; correct user and password"), "{words}");
}

/// NATS's permissions do not bind where an answer goes: a reader has one stored among the events that it reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_sent_to_a_topic_is_passed_over_and_publishing_goes_on() {
    let market = Options::new("market", ["nats://127.0.0.1"]);
    let ledger = Rights::of(&market, "ledger", [], ["sales"]).expect("a topic");
    let list = [
        User { name: "shop", password: Some("s"), rights: None },
        User { name: "ledger", password: Some("l"), rights: Some(&ledger) },
    ];
    let list = divisi_nats::users(&list, "").expect("a list");
    let server = with_conf(&format!("authorization {{ {list} }}")).await;
    let as_user = |user: &str, password: &str| Options {
        servers: vec![server.url_for(user, password)],
        ..options(&server)
    };
    let shop = Nats::connect(as_user("shop", "s")).await.expect("a carrier");
    let reader = Nats::connect(as_user("ledger", "l")).await.expect("a carrier");
    let hint = publish(&shop, "sales", Lane(5), 1..=2, 1).await[0].clone().expect("the shop publishes");
    let counting = async_nats::ConnectOptions::with_user_and_password("shop".to_owned(), "s".to_owned());
    let counting = async_nats::jetstream::new(counting.connect(server.url()).await.expect("a plain client"));
    let stored =
        async || counting.get_stream("evt_sales").await.expect("the stream").cached_info().state.messages;
    assert_eq!(stored().await, 2);

    let stranger = async_nats::ConnectOptions::with_user_and_password("ledger".to_owned(), "l".to_owned());
    let stranger = stranger.connect(server.url()).await.expect("a plain client");
    for (asked, question) in [
        ("$JS.API.STREAM.MSG.GET.evt_sales", r#"{"last_by_subj":"evt.sales.5"}"#),
        ("$JS.API.STREAM.INFO.evt_sales", ""),
    ] {
        let sent = stranger.publish_with_reply(asked, "evt.sales.5", question.into()).await;
        sent.expect("it may ask");
    }
    crate::support::until("the answers are stored", PATIENCE, stored, |n| *n == 4).await;
    let published = publish(&shop, "sales", Lane(5), [3], 1).await;
    published[0].as_ref().expect("the shop goes on");
    let mut arrivals =
        reader.read(&"shop".into(), "sales", vec![(Lane(5), Some(hint))]).await.expect("the ledger reads");
    assert_eq!((next_pos(&mut *arrivals).await, next_pos(&mut *arrivals).await), (2, 3));
}

async fn with_conf(text: &str) -> Server {
    Settings::new().conf(text).start().await.expect("a NATS server; `cargo xtask up nats` brings one")
}

async fn opens(options: Options) {
    let carrier = Nats::connect(options).await.expect("a carrier");
    carrier.check("sales").await.expect("it is let in");
}

/// It goes on trying: the server may be told of it later.
async fn does_not_open(options: Options) {
    let carrier = Nats::connect(options).await.expect("a carrier");
    assert!(!carrier.is_connected());
    assert!(matches!(carrier.check("sales").await, Err(CarrierError::Unavailable(_))));
}

/// The server knows a public key, the client proves with the seed that it has the other half.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nkey_opens_and_another_one_does_not() {
    let (known, other) = (KeyPair::new_user(), KeyPair::new_user());
    let conf = format!("authorization {{ users = [ {{ nkey: \"{}\" }} ] }}", known.public_key());
    let server = with_conf(&conf).await;
    let with = |key: &KeyPair| {
        let seed = key.seed().expect("it was made with one");
        let credentials = Credentials::NKey(seed.clone());
        assert!(!format!("{credentials:?}").contains(&seed), "a seed is not shown");
        Options { credentials, ..options(&server) }
    };
    opens(with(&known)).await;
    does_not_open(with(&other)).await;
}

/// A file of credentials as the operator of a NATS with accounts gives them out: who the account is, the operator has signed, and who the
/// user is, the account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_credentials_opens_and_one_of_another_account_does_not() {
    let (operator, system, apps, stranger) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account(), KeyPair::new_account());
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let account = |key: &KeyPair, limits: &Value| {
        token(&operator, &key.public_key(), json!({ "type": "account", "version": 2, "limits": limits }))
    };
    let unlimited = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1 });
    let conf = format!(
        "operator: \"{}\"\nsystem_account: \"{}\"\nresolver: MEMORY\nresolver_preload: {{ {}: \"{}\", {}: \"{}\" }}",
        token(&operator, &operator.public_key(), json!({ "type": "operator", "version": 2 })),
        system.public_key(),
        system.public_key(),
        account(&system, &unlimited),
        apps.public_key(),
        account(&apps, &limits),
    );
    let server = with_conf(&conf).await;
    let dir = tempfile::tempdir().expect("a directory");
    let with = |name: &str, account: &KeyPair| {
        let user = KeyPair::new_user();
        let is = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {} });
        let file = dir.path().join(name);
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            token(account, &user.public_key(), is),
            user.seed().expect("it was made with one"),
        );
        std::fs::write(&file, text).expect("a file");
        Options { credentials: Credentials::File(file), ..options(&server) }
    };
    opens(with("apps.creds", &apps)).await;
    does_not_open(with("stranger.creds", &stranger)).await;
}

/// What `by` says of `subject`, signed as NATS has it.
fn token(by: &KeyPair, subject: &str, is: Value) -> String {
    let claims = json!({ "jti": subject, "iat": 1_700_000_000, "iss": by.public_key(), "name": "test", "sub": subject, "nats": is });
    let encoded = |text: String| BASE64URL_NOPAD.encode(text.as_bytes());
    let header = encoded(json!({ "typ": "JWT", "alg": "ed25519-nkey" }).to_string());
    let signed = format!("{header}.{}", encoded(claims.to_string()));
    let signature = by.sign(signed.as_bytes()).expect("a private key");
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}
