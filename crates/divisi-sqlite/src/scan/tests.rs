use super::has_rollback;

#[track_caller]
fn check(sql: &str, expected: bool) {
    assert_eq!(has_rollback(sql), expected, "{sql}");
}

#[test]
fn the_word_is_found_wherever_it_acts() {
    check("INSERT OR ROLLBACK INTO t VALUES (1)", true);
    check("insert or rollback into t values (1)", true);
    check("CREATE TABLE t (a INTEGER UNIQUE ON CONFLICT ROLLBACK)", true);
    check("CREATE TRIGGER x BEFORE INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'no'); END", true);
    check("CREATE TRIGGER x BEFORE INSERT ON t BEGIN SELECT RAISE(/* */RoLlBaCk, 'no'); END", true);
    check("SELECT 'it''s' ; ROLLBACK", true);
    check("ROLLBACK", true);
    check("-- comment\nROLLBACK", true);
    check("/* a */ROLLBACK/* b */", true);
}

#[test]
fn the_word_in_quotes_comments_and_other_words_is_left_alone() {
    check("SELECT 'rollback'", false);
    check("SELECT 'it''s a rollback'", false);
    check("SELECT \"rollback\", `rollback`, [rollback] FROM t", false);
    check("SELECT 1 -- rollback", false);
    check("SELECT 1 /* rollback */", false);
    check("SELECT rollbacks, no_rollback, rollback_at FROM t", false);
    check("SELECT 'an open quote rollback", false);
    check("/* an open comment rollback", false);
    check("", false);
    check("rollbac", false);
}
