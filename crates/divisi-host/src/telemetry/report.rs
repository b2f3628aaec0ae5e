//! An error with everything that led to it, as the command line prints it.

use std::error::Error;
use std::fmt;

/// Prints an error and its causes for people:
///
/// ```text
/// error: cannot open the database of `posts`
/// Caused by:
///     permission denied
/// hint: start it as the user who owns the directory
/// ```
pub struct Report<'a> {
    error: &'a (dyn Error + 'static),
    hint: Option<&'a dyn fmt::Display>,
}

impl<'a> Report<'a> {
    /// A report of `error`.
    pub fn new(error: &'a (dyn Error + 'static)) -> Report<'a> {
        Report { error, hint: None }
    }

    /// The same with what the reader may do about it.
    #[must_use]
    pub fn with_hint(self, hint: &'a dyn fmt::Display) -> Report<'a> {
        Report { hint: Some(hint), ..self }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut messages = chain(self.error).into_iter();
        write!(f, "error: {}", messages.next().unwrap_or_default())?;
        for (n, message) in messages.enumerate() {
            if n == 0 {
                write!(f, "\nCaused by:")?;
            }
            write!(f, "\n    {}", message.replace('\n', "\n    "))?;
        }
        match self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The same in one line, for logs: `cannot open the database of `posts`: permission denied`.
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    chain(error).join(": ").replace('\n', "; ")
}

/// The messages from the error to its root. One that only repeats its cause is left out.
fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut messages: Vec<String> =
        std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string).collect();
    messages.dedup();
    messages
}
