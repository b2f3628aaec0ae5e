//! Logs: set up once, for people or for machines.

pub(crate) mod clock;
mod json;
pub mod report;
mod text;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing::error;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, filter};

pub use json::Json;
pub use report::Report;

/// Set to `1` by a supervisor whose standard error is a terminal: what its children write ends up there.
pub const TERMINAL: &str = "DIVISI_TERMINAL";

/// For whom logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people: one line an event, coloured at a terminal; with the time elsewhere.
    #[default]
    Text,
    /// For machines: one JSON object a line; fields of spans and events at its top, `trace_id` among them.
    Json,
}

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("`{filter}` is not a filter for logs")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: filter::ParseError,
    },
    /// Somebody set up logs before.
    #[error("logs have been set up already")]
    Already(#[source] TryInitError),
}

/// Sets up logs for the whole process, on standard error, and reports panics through them. Once, at its start.
///
/// `app` is the name of the app: its crates begin with it. See [`filter()`] for `directives`.
pub fn init(app: &str, format: Format, directives: &str) -> Result<(), TelemetryError> {
    let registry = Registry::default().with(self::filter(app, directives)?);
    match format {
        Format::Json => registry.with(Json::new(std::io::stderr)).try_init(),
        Format::Text => {
            let seen = at_terminal();
            let layer = tracing_subscriber::fmt::layer().with_ansi(seen && !no_color());
            let text = text::Text { with_time: !seen };
            registry.with(layer.event_format(text).with_writer(std::io::stderr)).try_init()
        }
    }
    .map_err(TelemetryError::Already)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// What is logged: `info` of Divisi and of the app's crates, `warn` of everything else, then what `directives` say.
///
/// `directives` is a level, which counts for Divisi and the app alone, or a list as in `blog_posts=debug,hyper=info`.
pub fn filter(app: &str, directives: &str) -> Result<EnvFilter, TelemetryError> {
    let app = app.replace('-', "_");
    let level = directives.trim();
    let text = if level.is_empty() {
        format!("warn,divisi=info,{app}=info")
    } else if level.parse::<filter::LevelFilter>().is_ok() {
        format!("warn,divisi={level},{app}={level}")
    } else {
        format!("warn,divisi=info,{app}=info,{level}")
    };
    EnvFilter::builder()
        .parse(text)
        .map_err(|source| TelemetryError::Filter { filter: directives.to_owned(), source })
}

/// Whether what is written to standard error is read at a terminal, directly or through a supervisor.
pub fn at_terminal() -> bool {
    std::env::var_os(TERMINAL).is_some_and(|value| value == "1") || std::io::stderr().is_terminal()
}

/// Whether the user asked every program for no colours: https://no-color.org.
fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// A panic as one event, so that a log for machines stays one.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = panic.location().map(ToString::to_string);
    // It says nothing unless RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    error!(
        panic.backtrace = backtrace.as_deref(),
        panic.location = place.as_deref(),
        thread.name = thread.name(),
        "panicked: {}",
        panic.payload_as_str().unwrap_or("without a message"),
    );
}

#[cfg(test)]
mod tests;
