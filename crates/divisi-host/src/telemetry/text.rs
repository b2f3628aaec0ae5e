//! Events for people: one line each.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::registry::LookupSpan;

use super::clock::Utc;

/// Level, message, fields; the time where no eye is on the line as it comes.
///
/// Neither module nor spans: a message is readable alone, and whoever searches by fields reads JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    pub(super) with_time: bool,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, cx: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if self.with_time {
            Utc.format_time(&mut to)?;
            to.write_char(' ')?;
        }
        let level = *event.metadata().level();
        if to.has_ansi_escapes() {
            write!(to, "\x1b[{}m{level:>5}\x1b[0m ", colour(level))?;
        } else {
            write!(to, "{level:>5} ")?;
        }
        cx.format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}

/// Red for what someone must act on, yellow for what was coped with, and quieter ones below.
fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}
