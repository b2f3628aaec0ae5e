use divisi_store::StoreName;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use super::Place;
use crate::options::Options;

fn place(url: &str) -> Result<Place, String> {
    Place::new(&StoreName::of("posts"), url, &Options::default()).map_err(|error| error.to_string())
}

#[test]
fn only_this_machine_is_spoken_to_in_plain_text_without_a_word() {
    for (url, expected) in [
        ("postgres://u:p@localhost/d", SslMode::Disable),
        ("postgres://u:p@127.0.0.1:5433/d", SslMode::Disable),
        ("postgres://u:p@[::1]/d", SslMode::Disable),
        ("postgres://u:p@%2Frun%2Fpostgresql/d", SslMode::Disable),
        ("postgres://u:p@db.internal/d", SslMode::Require),
        ("postgresql://u:p@10.0.0.7/d?connect_timeout=3", SslMode::Require),
        ("postgres://u:p@10.0.0.7/d?sslmode=disable", SslMode::Disable),
        ("postgres://u:p@localhost/d?sslmode=require&connect_timeout=3", SslMode::Require),
        ("postgres://u:p@localhost/d?sslmode=verify-full", SslMode::Require),
    ] {
        assert_eq!(place(url).map(|place| place.config.get_ssl_mode()), Ok(expected), "{url}");
    }
}

#[test]
fn an_address_that_cannot_be_used_is_refused_without_its_password() {
    for (url, word) in [
        ("mysql://u:hunter2@h/d", "postgres://"),
        ("host=h password=hunter2", "postgres://"),
        ("postgres://u:hunter2@h:port/d", "USER:PASSWORD"),
        ("postgres://u:hunter2@/d", "host"),
        ("postgres://u:hunter2@h", "database"),
        ("postgres://u:hunter2@h/d?sslmode=prefer", "sslmode"),
        ("postgres://u:hunter2@h/d?sslmode=allow", "plain text"),
        ("postgres://u:hunter2@h/d?nonsense=1", "USER:PASSWORD"),
    ] {
        let refused = place(url).expect_err(url);
        assert!(refused.contains(word), "{url}: {refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

#[test]
fn what_is_said_of_a_place_has_no_password() {
    let place = place("postgres://u:hunter2@db.internal:6000/shop").expect("an address");
    assert_eq!(format!("{place:?}"), "database `shop` at db.internal:6000");
    let name = StoreName::projection("search", "posts\"; DROP", 2);
    let place =
        Place::new(&name, "postgres://u:hunter2@localhost/shop", &Options::default()).expect("an address");
    assert_eq!(place.what, "schema `posts\"; DROP_v2` of database `shop` at localhost:5432");
    assert_eq!(place.schema, "\"posts\"\"; DROP_v2\"");
}

#[test]
fn of_several_hosts_the_primary_is_wanted_and_all_must_be_here_for_plain_text() {
    let several = place("postgres://u:p@127.0.0.1:6001,localhost:6002/shop").expect("an address");
    assert_eq!(format!("{several:?}"), "database `shop` at 127.0.0.1:6001, localhost:6002");
    assert_eq!(several.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    assert_eq!(several.config.get_ssl_mode(), SslMode::Disable);
    let one_elsewhere = place("postgres://u:p@127.0.0.1,db.internal/shop").expect("an address");
    assert_eq!(one_elsewhere.config.get_ssl_mode(), SslMode::Require);
    let alone = place("postgres://u:p@localhost/shop").expect("an address");
    assert_eq!(
        alone.config.get_target_session_attrs(),
        TargetSessionAttrs::Any,
        "who is alone is named if it is a standby"
    );
}
