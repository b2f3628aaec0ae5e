use std::os::unix::fs::PermissionsExt;

use super::*;

fn account(uid: u32) -> Account {
    Account { name: "somebody".to_owned(), uid, gid: 4_000_000 }
}

#[test]
fn a_user_is_found_by_its_whole_name() {
    let passwd =
        "root:x:0:0::/root:/bin/sh\npostgresql:x:7:7::/:/bin/sh\nbroken\npostgres:x:101:104:,,:/:/bin/sh\n";
    assert_eq!(find(passwd, "postgres"), Some(Account { name: "postgres".to_owned(), uid: 101, gid: 104 }));
    assert_eq!(find(passwd, "broken"), None);
}

#[test]
fn a_directory_that_the_user_may_not_enter_is_named() {
    let outer = tempfile::tempdir().unwrap();
    let inner = outer.path().join("open");
    fs::create_dir(&inner).unwrap();
    fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let (stranger, target) = (account(4_000_000), inner.join("server"));
    let error = stranger.reaches(&target).unwrap_err().to_string();
    assert!(error.contains(&format!("{}:", outer.path().display())), "{error}");
    fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o711)).unwrap();
    stranger.reaches(&target).unwrap();
}
