use super::{Facts, Known, PLACES, TEXT_BYTES_MAX, place};

const PLAIN: Facts = Facts { rolls_back: false, defers: false, in_order: false };

#[test]
fn a_text_is_known_for_what_it_says() {
    let known = Known::new();
    for _ in 0..2 {
        assert_eq!(known.of("SELECT 1"), PLAIN);
        assert_eq!(known.of("INSERT OR ROLLBACK INTO t VALUES (1)"), Facts { rolls_back: true, ..PLAIN });
        assert_eq!(known.of("CREATE TABLE t (a REFERENCES b DEFERRABLE)"), Facts { defers: true, ..PLAIN });
        assert_eq!(known.of(""), PLAIN);
    }
    known.learn("SELECT $1", Facts { in_order: true, ..PLAIN });
    assert!(known.of("SELECT $1").in_order);
}

/// Two texts of one place are never taken for each other.
#[test]
fn texts_of_one_place_take_turns() {
    let known = Known::new();
    let (harmless, harmful) =
        ("INSERT OR IGNORED  INTO t VALUES (1)", "INSERT OR ROLLBACK INTO t VALUES (1)");
    assert_eq!(place(harmless), place(harmful), "so that the test can fail");
    for _ in 0..3 {
        assert!(!known.of(harmless).rolls_back);
        assert!(known.of(harmful).rolls_back);
    }
}

#[test]
fn what_is_kept_has_a_bound() {
    let known = Known::new();
    let long = format!("SELECT '{}'", "x".repeat(TEXT_BYTES_MAX));
    known.learn(&long, Facts { in_order: true, ..PLAIN });
    assert_eq!(known.of(&long), PLAIN, "it is read each time");
    for n in 0..10 * PLACES {
        known.of(&format!("SELECT {n}"));
    }
    assert_eq!(known.0.borrow().len(), PLACES);
}
