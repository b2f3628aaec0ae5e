use super::{is_allowed, is_of_rows};

#[test]
fn what_outlives_its_transaction_or_ends_it_is_refused() {
    for sql in [
        "COMMIT",
        "commit;",
        " -- a word\n ROLLBACK",
        "/* a /* nested */ comment */ Begin",
        ";; SAVEPOINT a",
        "PREPARE TRANSACTION 'x'",
        "END",
        "SET search_path TO other",
        "set session statement_timeout to 0",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "RESET ALL",
        "DISCARD ALL",
        "LISTEN x",
        "COPY t FROM STDIN",
    ] {
        assert!(is_allowed(sql).is_err(), "{sql}");
    }
}

#[test]
fn everything_else_is_the_services_own_business() {
    for sql in [
        "SELECT 1",
        "insert into commits values ('ROLLBACK')",
        "UPDATE t SET a = 1",
        "WITH begin AS (SELECT 1) SELECT * FROM begin",
        "SET LOCAL statement_timeout TO 100",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "/* never closed COMMIT",
        "(SELECT 1)",
        "",
        "ends",
    ] {
        assert!(is_allowed(sql).is_ok(), "{sql}");
    }
}

#[test]
fn what_only_changes_rows_is_known_by_its_first_word() {
    for sql in ["insert into t values (1)", " /* a */ UPDATE t SET a = 1", "DELETE FROM t", "merge into t"] {
        assert!(is_of_rows(sql), "{sql}");
    }
    for sql in [
        "CREATE TABLE t (a INT)",
        "SELECT made()",
        "WITH a AS (SELECT made()) SELECT 1",
        "SET LOCAL x TO 1",
        "TRUNCATE t",
        "CALL it()",
        "DO $$ BEGIN END $$",
        "",
        "inserted",
    ] {
        assert!(!is_of_rows(sql), "{sql}");
    }
}
