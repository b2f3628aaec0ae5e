//! Rows for people.

use divisi_store::Timestamp;

use super::{Table, age, time};

#[test]
fn columns_are_aligned_and_notes_stand_below_their_row() {
    let mut table = Table::new(["KEY", "STATE"]);
    table.row(["a".into(), "dead".into()]);
    table.note("why");
    table.row(["a longer key".into(), "waiting".into()]);
    let lines = ["KEY           STATE", "a             dead", "    why", "a longer key  waiting", ""];
    assert_eq!(table.to_string(), lines.join("\n"));
}

#[test]
fn what_a_terminal_would_obey_is_spelled_out() {
    let mut table = Table::new(["KEY"]);
    table.row(["\u{1b}[2Jgone\r\n".into()]);
    assert_eq!(table.to_string(), "KEY\n\\u{1b}[2Jgone\\r\\n\n");
}

#[test]
fn ages_and_times_are_short() {
    let check = |seconds: i64, says: &str| {
        assert_eq!(age(Timestamp(seconds * 1_000_000), Timestamp(0)), says);
    };
    check(-5, "0s");
    check(119, "119s");
    check(120, "2m");
    check(7_200, "2h");
    check(200_000, "2d");
    assert_eq!(time(Timestamp(1_000_000)), "1970-01-01T00:00:01.000Z");
    assert_eq!(time(Timestamp(i64::MIN)), "1970-01-01T00:00:00.000Z");
}
