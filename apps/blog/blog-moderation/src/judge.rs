//! The rule. Pure.

use blog_contracts::Status;

/// A comment that speaks of oranges is rejected, every other one is approved.
pub(crate) fn judge(content: &str) -> Status {
    if content.to_lowercase().contains("orange") { Status::Rejected } else { Status::Approved }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oranges_are_rejected_in_any_letter_case() {
        for (content, status) in [
            ("an apple", Status::Approved),
            ("an orange", Status::Rejected),
            ("ORANGES!", Status::Rejected),
            ("bloodOrange juice", Status::Rejected),
            ("or ange", Status::Approved),
        ] {
            assert_eq!(judge(content), status, "{content}");
        }
    }
}
