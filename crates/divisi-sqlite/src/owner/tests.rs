use divisi_store::OpenError;

use super::Owner;

/// As a process has it that was forked and has not become another program yet.
#[test]
fn what_is_given_back_is_free_though_somebody_has_a_copy_of_the_lock() {
    let dir = tempfile::tempdir().expect("a directory");
    let database = dir.path().join("bank.db");
    let owner = Owner::take(&database, None).expect("it is free");
    let copy = owner.file.try_clone().expect("a copy");
    assert!(matches!(Owner::take(&database, None), Err(OpenError::InUse { .. })));
    drop(owner);
    Owner::take(&database, None).expect("it was given back");
    drop(copy);
}
