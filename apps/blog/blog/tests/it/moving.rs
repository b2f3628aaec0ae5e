//! `blog move`: a service goes from its files to PostgreSQL in the middle of its life, and nobody who reads or writes can
//! tell.

mod back;
mod kept;
mod killed;
mod refused;
mod whole;

use std::path::Path;
use std::process::{Child, Stdio};

use divisi_servers::Postgres;
use divisi_servers::postgres::Settings;
use divisi_testkit::process::Start;

use crate::command::{binary, told};
use crate::server::{Database, Either, wait};
use crate::tables::{Tables, open};

const SERVICES: [&str; 4] = ["posts", "comments", "moderation", "query"];

/// A server with a database a service, each of its own name.
struct Places {
    server: Postgres,
}

impl Places {
    fn start() -> Places {
        // What a power cut would take from the server is not looked at here.
        let server = wait(Settings::new().conf("fsync = off").start());
        for service in SERVICES {
            wait(server.sql(format!("CREATE DATABASE {service}")));
        }
        Places { server }
    }

    /// The address that `--to` is given.
    fn template(&self) -> String {
        self.server.url_for("postgres", "postgres", "{service}").replace("postgresql://", "postgres://")
    }

    fn url(&self, service: &str) -> String {
        self.template().replace("{service}", service)
    }

    /// The variable that leads a service there, and its value.
    fn variable(&self, service: &str) -> (String, String) {
        (format!("DIVISI_SERVICES__{}__STORE", service.to_uppercase()), self.url(service))
    }

    fn database(&self, service: &str, schema: &'static str) -> Database<'_> {
        Database { server: &self.server, name: service.to_owned(), schema }
    }

    /// What a query says in the database of `service`.
    fn sql(&self, service: &str, sql: &str) -> String {
        wait(self.server.sql_in(service, sql))
    }

    /// The tables of a blog of which `there` are here and the others in files.
    fn tables(&self, data: &Path, there: &[&str]) -> Tables {
        let of = |service: &'static str, file: &str, schema| match there.contains(&service) {
            true => Either::Server(self.database(service, schema)),
            false => Either::File(open(&data.join(file))),
        };
        Tables::of([
            of("posts", "posts.db", "public"),
            of("comments", "comments.db", "public"),
            of("moderation", "moderation.db", "public"),
            of("query", "query.posts.v1.db", "posts_v1"),
        ])
    }

    /// Moves a service; it must succeed. What was printed for `divisi.toml`.
    fn takes(&self, service: &str, data: &Path) -> String {
        let output = self.moving(service, data, &[], "").wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", told(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts to move a service, with a point at which it is to die.
    fn moving(&self, service: &str, data: &Path, more: &[&str], fail: &str) -> Child {
        command(&["move", service, "--to", &self.template()], data, more, fail)
    }

    /// Moves a service, which must be refused; the words.
    fn refuses(&self, service: &str, data: &Path, more: &[&str]) -> String {
        let output = self.moving(service, data, more, "").wait_with_output().expect("it ends");
        assert!(!output.status.success(), "{}", told(&output));
        let told = told(&output);
        assert!(!told.contains("postgres:postgres@"), "no password: {told}");
        told
    }
}

/// Starts a command of the blog.
fn command(args: &[&str], data: &Path, more: &[&str], fail: &str) -> Child {
    let mut command = binary();
    if !fail.is_empty() {
        command.env("DIVISI_FAIL", fail);
    }
    command.args(args).arg("--data").arg(data).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the blog runs")
}

/// What the start of one service says that must be refused; `store` leads it to PostgreSQL.
fn start_refused(service: &str, data: &Path, store: Option<(String, String)>) -> String {
    let start = Start::new(env!("CARGO_BIN_EXE_blog"), data).with(service);
    let start = SERVICES.iter().fold(start, |start, other| {
        start.variable(&format!("DIVISI_SERVICES__{}__ADDRESS", other.to_uppercase()), "127.0.0.1:1")
    });
    let start =
        start.variable(&format!("DIVISI_SERVICES__{}__LISTEN", service.to_uppercase()), "127.0.0.1:0");
    let start = store.into_iter().fold(start, |start, (name, url)| start.variable(&name, url));
    let mut process = start.spawn();
    let status = process.ended();
    let told = process.all_output();
    assert!(!status.success(), "{told}");
    told
}
