//! On PostgreSQL: a role and a database a service, and only its own opens to each.

use std::collections::BTreeMap;
use std::process::Output;

use divisi_servers::Postgres;

use crate::blog::{Blog, SetUp, Writer};
use crate::provision::{blog, wait};
use crate::scenario::quiet;

const SERVICES: [&str; 4] = ["posts", "comments", "moderation", "query"];

/// Twice with another password each time; what is printed is a configuration on which the blog runs.
#[test]
fn each_service_opens_its_own_database_and_no_other() {
    let server = wait(Postgres::launch());
    let first = urls(&provision(&server, &[]));
    let output = provision(&server, &[]);
    let again = urls(&output);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(again.values().all(|url| !told.contains(password(url))), "secrets are on standard output alone");
    for service in SERVICES {
        assert_ne!(first[service], again[service], "a fresh password");
        let refused = opens(&server, &first[service]).expect_err("the old password is over");
        assert!(refused.contains("password authentication failed"), "{refused}");
    }

    let data = tempfile::tempdir().expect("a directory");
    let file = data.path().join("divisi.toml");
    std::fs::write(&file, &output.stdout).expect("the file");
    let blog = Blog::start_with(SetUp::Split, data.path(), |start| {
        start.with("--config").with(file.display().to_string())
    });
    let mut writer = Writer::new(blog.address);
    let post = writer.post("a post", "k1");
    writer.comment(&post, "a comment", "k2");
    quiet(&mut writer, 1, 1);
    let sql = "SELECT DISTINCT usename, datname FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename <> 'postgres' ORDER BY 1";
    let at_work = wait(server.sql(sql));
    assert_eq!(at_work, "comments|comments\nmoderation|moderation\nposts|posts\nquery|query");
    blog.stop();

    for role in SERVICES {
        for database in SERVICES {
            let outcome = opens(&server, &at(&again[role], database));
            if role == database {
                assert_eq!(outcome.as_deref(), Ok("1"), "{role} in its own database");
            } else {
                let refused = outcome.expect_err("it is another service's");
                assert!(
                    refused.contains("permission denied for database"),
                    "{role} in {database}: {refused}"
                );
            }
        }
    }
    // A control: who may do everything opens all of them, so the refusals are the roles' own.
    for database in SERVICES {
        assert_eq!(opens(&server, &at(&server.url(), database)).as_deref(), Ok("1"), "{database}");
    }
}

/// A control: where all services share a role, nothing is between them.
#[test]
fn a_role_that_all_services_share_opens_every_database() {
    let server = wait(Postgres::launch());
    wait(server.sql("CREATE ROLE blog LOGIN PASSWORD 'shared'"));
    for service in SERVICES {
        wait(server.sql(format!("CREATE DATABASE {service} OWNER blog")));
        assert_eq!(opens(&server, &server.url_for("blog", "shared", service)).as_deref(), Ok("1"));
    }
}

#[test]
fn a_password_file_keeps_passwords_and_a_dry_run_touches_nothing() {
    let server = wait(Postgres::launch());
    let roles = || wait(server.sql("SELECT count(*) FROM pg_roles WHERE rolname IN ('posts', 'query')"));
    let script = provision(&server, &["--dry-run"]);
    assert_eq!(roles(), "0", "a dry run makes nothing");
    let script = String::from_utf8_lossy(&script.stdout).into_owned();
    assert!(script.contains("PASSWORD E'…'") && script.contains("CREATE DATABASE \"query\""), "{script}");

    let data = tempfile::tempdir().expect("a directory");
    let file = data.path().join("passwords.toml").display().to_string();
    let once = urls(&provision(&server, &["--password-file", &file]));
    let twice = urls(&provision(&server, &["--password-file", &file]));
    assert_eq!((once, roles().as_str()), (twice.clone(), "2"));
    assert_eq!(opens(&server, &twice["posts"]).as_deref(), Ok("1"));
}

/// Runs the command; it must succeed.
fn provision(server: &Postgres, more: &[&str]) -> Output {
    let output = blog(&[&["provision", "--postgres", &server.url()], more].concat());
    assert!(output.status.success(), "{output:?}");
    output
}

/// The address of each service's database, from the lines `services.posts.store = "…"`.
fn urls(output: &Output) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |line: &str| {
        let (key, value) = line.split_once(" = ").unwrap_or_else(|| panic!("no setting: {line}"));
        let service = key.strip_prefix("services.").and_then(|key| key.strip_suffix(".store"));
        (
            service.unwrap_or_else(|| panic!("another key: {key}")).to_owned(),
            value.trim_matches('"').to_owned(),
        )
    };
    let urls: BTreeMap<_, _> = text.lines().map(line).collect();
    assert_eq!(urls.len(), SERVICES.len(), "{urls:?}");
    urls
}

fn at(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("an address ends with a database");
    format!("{server}/{database}")
}

fn password(url: &str) -> &str {
    url.split(['@', ':']).nth(2).expect("an address has a password")
}

fn opens(server: &Postgres, url: &str) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(server.sql_at(url, "SELECT 1")).map_err(|error| error.to_string())
}
