//! An error with everything that led to it, as the command line prints it.

use std::error::Error;
use std::fmt;

use divisi_contract::error::Chain;

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
        let mut messages = Chain(self.error).messages();
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
