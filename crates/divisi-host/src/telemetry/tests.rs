use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use divisi_contract::error::Chain;
use serde_json::{Value, json};
use tracing::{debug, info, info_span, warn};
use tracing_subscriber::Layer as _;

use super::clock::Rfc3339;
use super::*;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(directives: &str, what: impl FnOnce()) -> Vec<Value> {
    let written = Written::default();
    let writer = written.clone();
    let layer = Json::new(move || writer.clone()).with_filter(filter("blog", directives).unwrap());
    tracing::subscriber::with_default(Registry::default().with(layer), what);
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_json_line_carries_the_fields_of_the_spans_around_it() {
    let lines = logged("", || {
        let call =
            info_span!(target: "divisi_call", "call", trace_id = "4bf9", method = tracing::field::Empty);
        let _call = call.enter();
        call.record("method", "posts.create");
        let _inner = info_span!(target: "blog_posts", "transaction", attempt = 1).entered();
        info!(target: "blog_posts", attempt = 2, "created `{}`", 7);
    });
    let [line] = lines.as_slice() else { panic!("one line, not {lines:?}") };
    let mut line = line.clone();
    let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
    assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
    assert_eq!(
        line,
        json!({"level": "INFO", "target": "blog_posts", "message": "created `7`",
               "trace_id": "4bf9", "method": "posts.create", "attempt": 2})
    );
}

#[test]
fn a_line_for_people_has_its_level_its_message_and_its_fields() {
    let line = |with_time, ansi| {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(ansi)
            .event_format(text::Text { with_time })
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            let _span = info_span!("task", task.name = "relay").entered();
            warn!(service.name = %"posts", "the disk is full");
        });
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    };
    assert_eq!(line(false, false), " WARN the disk is full service.name=posts\n");
    assert!(line(true, false).ends_with("Z  WARN the disk is full service.name=posts\n"));
    assert!(line(false, true).starts_with("\x1b[33m WARN\x1b[0m the disk is full "), "coloured");
}

fn messages(directives: &str) -> Vec<String> {
    let all = || {
        debug!(target: "blog_posts", "app debug");
        info!(target: "blog_posts", "app info");
        debug!(target: "divisi_tcp::client", "divisi debug");
        info!(target: "divisi_tcp::client", "divisi info");
        info!(target: "hyper", "dependency info");
        warn!(target: "hyper", "dependency warn");
    };
    let text = |line: &Value| line["message"].as_str().unwrap().to_owned();
    logged(directives, all).iter().map(text).collect()
}

#[test]
fn dependencies_are_heard_only_when_they_warn() {
    assert_eq!(messages(""), ["app info", "divisi info", "dependency warn"]);
}

#[test]
fn a_level_counts_for_divisi_and_the_app_alone() {
    assert_eq!(
        messages("debug"),
        ["app debug", "app info", "divisi debug", "divisi info", "dependency warn"]
    );
    assert_eq!(messages("warn"), ["dependency warn"]);
}

#[test]
fn a_directive_changes_what_it_names_alone() {
    assert_eq!(messages("hyper=info"), ["app info", "divisi info", "dependency info", "dependency warn"]);
}

#[test]
fn a_wrong_filter_is_an_error_with_its_cause() {
    let error = filter("blog", "blog=loud").unwrap_err();
    assert_eq!(error.to_string(), "`blog=loud` is not a filter for logs");
    assert!(error.source().is_some());
}

#[test]
fn times_are_written_as_rfc_3339_does() {
    let at = |seconds, millis: u32| {
        Rfc3339(SystemTime::UNIX_EPOCH + Duration::new(seconds, millis * 1_000_000)).to_string()
    };
    assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
    assert_eq!(at(951_782_399, 7), "2000-02-28T23:59:59.007Z");
    assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00.000Z");
    assert_eq!(at(1_709_251_199, 999), "2024-02-29T23:59:59.999Z");
    assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
}

#[derive(Debug, thiserror::Error)]
#[error("cannot open the database of `posts`")]
struct Open(#[source] io::Error);

#[test]
fn a_report_tells_what_happened_why_and_what_to_do() {
    let error = Open(io::Error::other("permission denied"));
    let hint = "start it as the user who owns the directory";
    assert_eq!(
        Report::new(&error).with_hint(&hint).to_string(),
        "error: cannot open the database of `posts`\nCaused by:\n    permission denied\n\
         hint: start it as the user who owns the directory"
    );
    assert_eq!(Chain(&error).to_string(), "cannot open the database of `posts`: permission denied");
}
