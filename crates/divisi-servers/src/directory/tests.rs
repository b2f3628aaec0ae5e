use super::*;

#[test]
fn a_copy_has_modes_links_and_holes_and_replaces_what_was_there() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("deep/to"));
    fs::create_dir_all(from.join("private")).unwrap();
    fs::set_permissions(from.join("private"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(from.join("private/text"), "words").unwrap();
    symlink("private/text", from.join("link")).unwrap();
    let mut holes = File::create(from.join("holes")).unwrap();
    holes.set_len(8 << 20).unwrap();
    holes.seek(SeekFrom::Start(5_000_000)).unwrap();
    holes.write_all(b"island").unwrap();
    drop(holes);
    fs::create_dir_all(&to).unwrap();
    fs::write(to.join("before"), "").unwrap();

    copy(&from, &to).unwrap();

    assert!(!to.join("before").exists());
    assert_eq!(fs::read_to_string(to.join("link")).unwrap(), "words");
    assert_eq!(fs::metadata(to.join("private")).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::read(to.join("holes")).unwrap(), fs::read(from.join("holes")).unwrap());
    assert!(fs::metadata(to.join("holes")).unwrap().blocks() * 512 < 1 << 20, "holes stay holes");
}
