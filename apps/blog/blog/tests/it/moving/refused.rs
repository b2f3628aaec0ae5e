//! What is in the way of a move is said in words, and nothing is changed.

use rusqlite::Connection;

use crate::blog::{Blog, SetUp, Writer};
use crate::command::told;
use crate::moving::{Places, command};
use crate::scenario::quiet;

#[test]
fn what_is_in_the_way_is_named_and_nothing_is_changed() {
    let (places, data) = (Places::start(), tempfile::tempdir().expect("a directory"));
    let data = data.path();
    let none = places.refuses("comments", data, &[]);
    assert!(none.contains("there is no data of `comments`"), "{none}");

    let blog = Blog::start(SetUp::Whole, data);
    let mut writer = Writer::new(blog.address);
    let post = writer.post("a post", "k1");
    writer.comment(&post, "an apple", "k2");
    quiet(&mut writer, 1, 1);
    let runs = places.refuses("comments", data, &[]);
    assert!(runs.contains(&format!("`comments` runs: process {}", blog.pid())), "{runs}");
    blog.stop();

    let unknown = places.refuses("coments", data, &[]);
    assert!(unknown.contains("there is no service `coments`") && unknown.contains("`comments`"), "{unknown}");
    for (to, words) in [
        ("sqlite:///tmp/x.db", "a service moves from its files to PostgreSQL"),
        ("comments", "begins with `postgres://`"),
        ("postgres://u:hunter2@127.0.0.1:1/comments", "nobody answers there"),
        ("postgres://u:hunter2@/", "its URL"),
    ] {
        let output =
            command(&["move", "comments", "--to", to], data, &[], "").wait_with_output().expect("it ends");
        let told = told(&output);
        assert!(!output.status.success() && told.contains(words), "{to}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }

    let nowhere = command(&["move", "comments"], data, &[], "").wait_with_output().expect("it ends");
    assert!(told(&nowhere).contains("`--to` says it, or `services.comments.store`"), "{}", told(&nowhere));

    // Somebody's table, and somebody's database.
    places.sql("comments", "CREATE TABLE mine (id int)");
    let taken = places.refuses("comments", data, &["--dry-run"]);
    assert!(
        taken.contains("database `comments`") && taken.contains("is not empty: `mine` is there"),
        "{taken}"
    );
    places.sql("comments", "DROP TABLE mine");

    // Another shape of the file.
    let edit = |file: &str, sql: &str| {
        Connection::open(data.join(file)).and_then(|it| it.execute_batch(sql)).expect("it is changed")
    };
    edit(
        "comments.db",
        "INSERT INTO divisi_migration SELECT owner, 99, name, checksum, applied_at FROM divisi_migration WHERE owner = 'service' AND version = 1",
    );
    let newer = places.refuses("comments", data, &[]);
    assert!(newer.contains("newer version") && newer.contains("migration 99"), "{newer}");
    edit("comments.db", "DELETE FROM divisi_migration WHERE version = 99");
    edit("comments.db", "UPDATE divisi_migration SET owner = 'kept' WHERE owner = 'service'");
    let older = places.refuses("comments", data, &[]);
    assert!(older.contains("start this version of the service on it once"), "{older}");
    edit("comments.db", "UPDATE divisi_migration SET owner = 'service' WHERE owner = 'kept'");

    // A projection that is being built.
    edit("query.db", "UPDATE divisi_projection SET building = 2, building_shape = shape, state = 'building'");
    let building = places.refuses("query", data, &[]);
    assert!(building.contains("the projection `query.posts` is being built anew"), "{building}");
    edit(
        "query.db",
        "UPDATE divisi_projection SET building = NULL, building_shape = NULL, state = 'live', shape = shape + 1",
    );
    let shape = places.refuses("query", data, &[]);
    assert!(shape.contains("the projection `query.posts` has shape"), "{shape}");
    edit("query.db", "UPDATE divisi_projection SET shape = shape - 1");

    // A value that has no place, and a table.
    edit("comments.db", "INSERT INTO comments VALUES ('odd', 'p', 'x', 'pending', 3000000000)");
    let value = places.refuses("comments", data, &[]);
    assert!(
        value.contains("`comments.comments`, id = 'odd': the value of `version` does not fit"),
        "{value}"
    );
    edit("comments.db", "UPDATE comments SET version = 1, content = 'a' || char(0) || 'b' WHERE id = 'odd'");
    let zero = places.refuses("comments", data, &[]);
    assert!(zero.contains("id = 'odd': the value of `content`") && zero.contains("zero byte"), "{zero}");
    edit(
        "comments.db",
        "DELETE FROM comments WHERE id = 'odd'; CREATE TABLE extra (x); INSERT INTO extra VALUES (1)",
    );
    let extra = places.refuses("comments", data, &[]);
    assert!(extra.contains("have no place for the table `extra` with its 1 rows"), "{extra}");
    edit("comments.db", "DROP TABLE extra");

    // All that was in vain has left nothing; a rehearsal leaves nothing, and then it goes.
    let rehearsed = places.moving("comments", data, &["--dry-run"], "").wait_with_output().expect("it ends");
    let words = told(&rehearsed);
    assert!(
        rehearsed.status.success()
            && words.contains("comments.comments")
            && words.contains("nothing was changed"),
        "{words}"
    );
    assert_eq!(
        places.sql("comments", "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"),
        "0"
    );
    assert!(!data.join("comments.moved").exists());

    // Where to may be said in the configuration, where nobody sees the password.
    let file = data.join("divisi.toml");
    std::fs::write(&file, format!("services.comments.store = \"{}\"", places.url("comments")))
        .expect("a file");
    let config = ["--config", file.to_str().expect("text")];
    let moved = command(&["move", "comments"], data, &config, "").wait_with_output().expect("it ends");
    assert!(moved.status.success() && moved.stdout.is_empty(), "{}", told(&moved));
    assert!(data.join("comments.moved").exists());
}
