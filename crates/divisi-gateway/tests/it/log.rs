//! One line in the log for each request.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use divisi_gateway::Limits;
use tracing::Level;

use crate::client::Running;
use crate::edge::Things;

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let lines = String::from_utf8(bytes).unwrap();
        lines.lines().filter(|line| line.contains("http.route")).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn each_request_has_one_line_and_a_failure_its_inner_words() {
    // With one subscriber alone, a line that another test's thread reaches first would be taken for one that nobody
    // wants, for ever. A second one makes tracing ask them both.
    static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();
    SECOND.get_or_init(|| tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default()));
    let log = Log::default();
    let sink = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(Level::DEBUG)
        .with_writer(move || sink.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let running = Running::of(Things::default(), Limits::default()).await;
    let check = async |request: &str, level: &str, parts: &[&str]| {
        let reply = running.ask(request).await;
        let trace = reply.header("traceresponse").unwrap().split('-').nth(1).unwrap().to_owned();
        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{request}: {lines:?}");
        assert!(lines[0].contains(level), "{request}: {}", lines[0]);
        for part in parts.iter().chain([&trace.as_str(), &"duration_us="]) {
            assert!(lines[0].contains(part), "{part} is not in {}", lines[0]);
        }
        assert!(!lines[0].contains("personal"), "what a stranger wrote was logged: {}", lines[0]);
    };
    let things_id = "http.route=\"/things/{id}\"";
    check("GET /things/personal?shape=personal", "DEBUG", &["http.method=GET", things_id, "http.status=200"])
        .await;
    check("GET /personal", "DEBUG", &["http.status=404"]).await;
    check("BREW /things", "DEBUG", &["http.status=405"]).await;
    check("GET /fail/not_run.store", "WARN", &["http.status=503", "secret words of the callee"]).await;
    check("GET /fail/panic", "WARN", &["http.status=500", "a panic: secret words of a panic"]).await;
}
