//! The app as its binary describes it, on the stores and the edge that come with this crate's features.

use std::path::Path;
use std::sync::Arc;

use divisi_host::App;
use divisi_host::config::Config;
use divisi_sqlite::{Options, Sqlite};
use divisi_store::Stores;

/// An app called `name`, as its binary is. Its services keep their data in SQLite files in the data directory.
///
/// ```no_run
/// use divisi::{Exit, WithGateway};
///
/// fn main() -> Exit {
///     divisi::app("blog").gateway().main()
/// }
/// ```
pub fn app(name: &'static str) -> App {
    App::new(name, sqlite)
}

fn sqlite(data: &Path, config: &Config) -> Arc<dyn Stores> {
    let options = Options {
        transaction_limit: config.transaction_within,
        retention: config.log_kept,
        // A port that the system is to choose tells nobody where this process is.
        address: Some(config.listen).filter(|listen| listen.port() != 0).map(|listen| listen.to_string()),
        ..Options::default()
    };
    Arc::new(Sqlite::new(data, options))
}
