//! Database files that can be copied, kept and put back: how a machine loses what it had acknowledged.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use divisi_sqlite::{Options, Sqlite};
use divisi_store::{Clock, OpenError, Schema, Store, StoreName, Stores};
use tempfile::TempDir;

use crate::seeds::simulate;

/// When simulated clocks begin, in microseconds of the Unix epoch.
pub const BASE_MICROS: i64 = 1_700_000_000_000_000;

/// The database files of one simulation, in memory where the machine allows; removed when it is dropped.
pub struct Disk {
    dir: TempDir,
    n_places: usize,
}

/// A database that was brought to its schema once, so that each seed begins with a copy of it.
#[derive(Clone)]
pub struct Template {
    file: Arc<[u8]>,
    name: StoreName,
    schema: Schema,
}

/// A place where one database lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(PathBuf);

impl Template {
    /// Makes a database of this schema and keeps it, on a thread of its own: the seed that asks first must not differ
    /// from the others.
    pub fn make(name: StoreName, schema: Schema) -> Result<Template, OpenError> {
        let made = std::thread::spawn(|| simulate(0, Template::made(name, schema))).join();
        made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    async fn made(name: StoreName, schema: Schema) -> Result<Template, OpenError> {
        let disk = Disk::new().map_err(|source| place_error("a directory for the template", source))?;
        let stores = Sqlite::new(disk.dir.path(), Options::simulated(Clock::simulated(BASE_MICROS)));
        stores.open(&name, &schema).await?.close().await;
        let path = stores.path(&name);
        let file = std::fs::read(&path).map_err(|source| place_error(&path.display().to_string(), source))?;
        Ok(Template { file: file.into(), name, schema })
    }
}

impl Disk {
    /// An empty one.
    pub fn new() -> io::Result<Disk> {
        let memory = Path::new("/dev/shm");
        let mut builder = tempfile::Builder::new();
        builder.prefix("divisi-");
        let dir = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() };
        Ok(Disk { dir: dir?, n_places: 0 })
    }

    /// A new database, as the template made it.
    pub fn fresh(&mut self, template: &Template) -> io::Result<Place> {
        let place = self.place()?;
        std::fs::write(place.file(template), &template.file)?;
        Ok(place)
    }

    /// A copy of the database at `from`, with what has been committed there so far. No transaction may be committing.
    pub fn copy(&mut self, from: &Place, template: &Template) -> io::Result<Place> {
        let place = self.place()?;
        let (from, to) = (from.file(template), place.file(template));
        std::fs::copy(&from, &to)?;
        let (from, to) = (with_suffix(&from, "-wal"), with_suffix(&to, "-wal"));
        match std::fs::copy(from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(place),
        }
    }

    /// Opens the database at `place`; that begins an epoch.
    pub async fn open(&self, place: &Place, template: &Template, clock: Clock) -> Result<Store, OpenError> {
        Sqlite::new(&place.0, Options::simulated(clock)).open(&template.name, &template.schema).await
    }

    fn place(&mut self) -> io::Result<Place> {
        self.n_places += 1;
        let dir = self.dir.path().join(self.n_places.to_string());
        std::fs::create_dir(&dir)?;
        Ok(Place(dir))
    }
}

impl Place {
    fn file(&self, template: &Template) -> PathBuf {
        self.0.join(format!("{}.db", template.name))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn place_error(what: &str, source: io::Error) -> OpenError {
    OpenError::Place { what: what.to_owned(), source }
}
