//! Where a socket may be, and who may use it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::{SocketError, connect, listen};

fn mode_of(path: &std::path::Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").mode() & 0o777
}

#[tokio::test]
async fn a_socket_is_for_its_owner_alone_and_goes_with_its_listener() {
    let data = tempfile::tempdir().expect("a directory");
    assert!(connect(data.path(), "posts").await.expect("an answer").is_none(), "nobody listens yet");
    let listening = listen(data.path(), "posts").expect("it listens");
    let path = data.path().join("posts.operator");
    assert_eq!(mode_of(&path), 0o600);
    assert!(connect(data.path(), "posts").await.expect("an answer").is_some());
    drop(listening);
    assert!(!path.exists());
}

#[tokio::test]
async fn what_a_dead_process_left_is_replaced() {
    let data = tempfile::tempdir().expect("a directory");
    drop(std::os::unix::net::UnixListener::bind(data.path().join("posts.operator")).expect("a socket"));
    assert!(connect(data.path(), "posts").await.expect("an answer").is_none(), "nobody listens at it");
    let _listening = listen(data.path(), "posts").expect("its place is taken");
    assert!(connect(data.path(), "posts").await.expect("an answer").is_some());
}

#[tokio::test]
async fn a_data_directory_of_any_depth_will_do() {
    let data = tempfile::tempdir().expect("a directory");
    let deep = data.path().join("d".repeat(120)).join("e".repeat(120));
    fs::create_dir_all(&deep).expect("a directory");
    assert!(connect(&deep, "posts").await.expect("an answer").is_none());
    let _listening = listen(&deep, "posts").expect("it listens");
    assert_eq!(mode_of(&deep.join("posts.operator")), 0o600);
    assert!(connect(&deep, "posts").await.expect("an answer").is_some());
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let data = tempfile::tempdir().expect("a directory");
    let path = data.path().join("posts.operator");
    fs::write(&path, "mine").expect("a file");
    let refused = listen(data.path(), "posts").expect_err("it is no socket");
    assert!(matches!(refused, SocketError::NoSocket(_)), "{refused}");
    assert_eq!(fs::read_to_string(&path).expect("still there"), "mine");
}

#[tokio::test]
async fn nothing_listens_where_everybody_may_write() {
    let data = tempfile::tempdir().expect("a directory");
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o777)).expect("a mode");
    let refused = listen(data.path(), "posts").expect_err("anybody could replace it");
    assert!(refused.to_string().contains("may be written by everybody (mode 777)"), "{refused}");
}
