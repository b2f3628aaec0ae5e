//! Servers are there, or are brought.

use divisi_servers::{cache_directory, kafka, nats, postgres};

#[test]
fn what_is_installed_says_its_version_and_is_installed_once() {
    for _ in 0..2 {
        let first = |version: String| version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        assert!(first(postgres::install().unwrap()) >= Some(15));
        assert_eq!(nats::install().unwrap(), "2.15.1");
        assert_eq!(kafka::install().unwrap(), "4.1.0");
    }
    let left = std::fs::read_dir(cache_directory()).unwrap().flatten().map(|entry| entry.file_name());
    let names: Vec<String> = left.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(names.iter().any(|name| name.starts_with("nats-server-")), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("kafka-")), "{names:?}");
}
