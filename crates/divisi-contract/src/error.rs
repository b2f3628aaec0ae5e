//! An error with everything that led to it, on one line.

use std::error::Error;
use std::fmt;

/// Prints an error and its causes: `cannot do this: that went wrong: because of this`.
///
/// It is one line whatever the messages hold, for logs and for sentences that travel; a message that only repeats the
/// one before it is left out.
///
/// ```
/// use divisi_contract::error::Chain;
///
/// let root = std::io::Error::other("the disk is full");
/// let error = std::io::Error::new(root.kind(), root);
/// assert_eq!(Chain(&error).to_string(), "the disk is full");
/// ```
#[derive(Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl<'a> Chain<'a> {
    /// The messages one by one, from the error to its root, each as it is.
    pub fn messages(self) -> impl Iterator<Item = String> + use<'a> {
        let mut last = None;
        let all = std::iter::successors(Some(self.0), |&error| error.source()).map(ToString::to_string);
        all.filter(move |message| last.replace(message.clone()).as_ref() != Some(message))
    }
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, message) in self.messages().enumerate() {
            let before = if n == 0 { "" } else { ": " };
            write!(f, "{before}{}", message.replace('\n', "; "))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
