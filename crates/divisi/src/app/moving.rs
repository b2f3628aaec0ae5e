//! A service that goes from its files to PostgreSQL.
//!
//! What is where is said by two marks: a copy on PostgreSQL belongs to nobody until it has arrived, and a file beside the
//! SQLite database says that it is used no more. The steps are the copy, the file, the arrival; between any two of them
//! no service starts on both, and the same command goes on where the last one was killed. The way back takes the same
//! steps the other way round.

use divisi_contract::ServiceName;
use divisi_host::backends::{BoxError, Folded, Move, Moved, Moving};
use divisi_host::config::Secret;
use divisi_postgres::{Arrival, CameFrom, Imported, Options, Part, Postgres, Urls};
use divisi_sqlite::{Leaving, Sqlite};
use divisi_store::{OpenError, Origin, Schema, StoreName, failpoint};

/// Why a move does not begin, or does not go on.
#[derive(Debug, thiserror::Error)]
enum MoveError {
    #[error("there is no data of `{service}` in {data}; `--data` names another directory")]
    NoData { service: ServiceName, data: String },
    #[error("`{service}` runs: {owner}; stop it, then move it")]
    Runs { service: ServiceName, owner: String },
    #[error(
        "the projection `{service}.{projection}` is being built anew; let the service run until it is done, then move it"
    )]
    Building { service: ServiceName, projection: String },
    #[error(
        "the projection `{service}.{projection}` has shape {found}, this version of the program has {known}: let it run until it has been built anew, then move it"
    )]
    Shape { service: ServiceName, projection: String, found: u32, known: u32 },
    #[error(
        "`{service}` was moved to {to}, not to {asked}; take that move back first, with `--back` and its address"
    )]
    Elsewhere { service: ServiceName, to: String, asked: String },
    #[error(
        "`{service}` was moved to {to}, and nothing of it is there; restore that database; to begin again with the file as it was then, remove the file `{service}.moved` beside it"
    )]
    Lost { service: ServiceName, to: String },
    #[error("`{service}` was moved to {to}, and {found} is there")]
    Replaced { service: ServiceName, to: String, found: String },
    #[error(
        "{to} holds what a move of another file of `{service}` has brought; end that move where it was begun, or take it back there"
    )]
    AnotherFile { service: ServiceName, to: String },
    #[error(
        "`{service}` has started on {to} since the move: what it has done there is not in its file, so there is no way back"
    )]
    Started { service: ServiceName, to: String },
    #[error("there is no move of `{service}` to {to} to be taken back")]
    NotMoved { service: ServiceName, to: String },
}

/// Does what `moving` says.
pub(super) async fn run(moving: &Moving) -> Result<Moved, BoxError> {
    let journey = Journey::of(moving).await?;
    match moving.what {
        Move::Back => journey.back().await,
        Move::Rehearsal => journey.rehearse().await,
        Move::There => journey.go().await,
    }
}

/// A stopped service with both of its places.
struct Journey<'a> {
    moving: &'a Moving,
    name: StoreName,
    url: String,
    files: Sqlite,
    file: Leaving,
    server: Postgres,
    /// The place on the server, as it is called.
    to: String,
    /// Where the mark says that it is.
    marked: Option<String>,
}

/// A database of the service beside its own.
struct Version<'a> {
    name: StoreName,
    schema: &'a Schema,
    file: Leaving,
}

impl<'a> Journey<'a> {
    async fn of(moving: &'a Moving) -> Result<Journey<'a>, BoxError> {
        let (service, config) = (&moving.service, &moving.config);
        let template = moving.to.reveal().unwrap_or_default();
        let urls = Urls::from_template(template);
        let url = urls.of(service).unwrap_or_default();
        let options = Options {
            root_certificates: config.store.root_certificates.clone(),
            application_name: Some("move".to_owned()),
            ..Options::default()
        };
        let server = Postgres::new(urls, options);
        let name = StoreName::of(service);
        let to = server.place_name(&name)?;
        let files = Sqlite::new(&config.data, divisi_sqlite::Options::default());
        if !files.path(&name).exists() {
            let data = config.data.display().to_string();
            return Err(MoveError::NoData { service: service.clone(), data }.into());
        }
        let file = take(&files, &name).await?;
        let marked = file.moved_to()?;
        if let Some(at) = marked.clone().filter(|at| *at != to) {
            return Err(MoveError::Elsewhere { service: service.clone(), to: at, asked: to }.into());
        }
        Ok(Journey { moving, name, url, files, file, server, to, marked })
    }

    /// Copies, marks the file, lets the copy arrive. Each step is done unless an earlier run has done it.
    async fn go(&self) -> Result<Moved, BoxError> {
        let (service, to) = (self.moving.service.clone(), self.to.clone());
        let mut done = Vec::new();
        let there = self.server.arrival(&self.name).await?;
        match (self.marked.is_some(), there) {
            // The last step alone is to be done.
            (true, Arrival::Arriving(from))
                if self.is_from_here(&from) && from.epoch == self.file.epoch() => {}
            (true, Arrival::Arrived(from)) if !self.is_from_here(&from) => {
                return Err(MoveError::AnotherFile { service, to }.into());
            }
            (true, Arrival::Arrived(_) | Arrival::Lived) => {
                done.push(format!("{service}: it is at {to} already; nothing was to be done"));
                return Ok(Moved { done, settings: self.settings() });
            }
            (true, Arrival::Taken(found)) => return Err(MoveError::Replaced { service, to, found }.into()),
            (true, Arrival::Empty) => return Err(MoveError::Lost { service, to }.into()),
            // What is in the way, the copy says. One whose file was opened since by a program that knows no marks is
            // replaced.
            _ => {
                let imported = self.copy(true).await?;
                failpoint::hit("move.committed");
                self.file.has_moved(&to)?;
                failpoint::hit("move.marked");
                told(&imported, "copied", &mut done);
            }
        }
        self.server.arrived(&self.name).await?;
        done.push(format!(
            "{service}: it is at {to} now; a start on {} is refused. `--back` takes it back as long as it has not started there",
            self.file.what()
        ));
        Ok(Moved { done, settings: self.settings() })
    }

    async fn rehearse(&self) -> Result<Moved, BoxError> {
        let (service, to) = (&self.moving.service, &self.to);
        if self.marked.is_some() {
            let done = vec![format!(
                "{service}: it was moved to {to}; the same without `--dry-run` ends what is not done"
            )];
            return Ok(Moved { done, ..Moved::default() });
        }
        let imported = self.copy(false).await?;
        let mut done = Vec::new();
        told(&imported, "would be copied", &mut done);
        done.push(format!("{service}: nothing is in the way to {to}; nothing was changed"));
        Ok(Moved { done, ..Moved::default() })
    }

    /// Detains what has arrived, removes the mark, removes the copy.
    async fn back(&self) -> Result<Moved, BoxError> {
        let (service, to) = (self.moving.service.clone(), self.to.clone());
        let is_marked = self.marked.is_some();
        let there = match is_marked {
            true => self.server.detain(&self.name, self.file.identity()).await?,
            false => self.server.arrival(&self.name).await?,
        };
        match there {
            Arrival::Arriving(from) if self.is_from_here(&from) => {}
            Arrival::Arriving(_) | Arrival::Arrived(_) if is_marked => {
                return Err(MoveError::AnotherFile { service, to }.into());
            }
            _ if !is_marked => return Err(MoveError::NotMoved { service, to }.into()),
            Arrival::Empty => return Err(MoveError::Lost { service, to }.into()),
            Arrival::Taken(found) => return Err(MoveError::Replaced { service, to, found }.into()),
            _ => return Err(MoveError::Started { service, to }.into()),
        }
        failpoint::hit("move.given_back");
        self.file.has_come_back()?;
        failpoint::hit("move.unmarked");
        self.server.forget_arrival(&self.name).await?;
        let done = vec![format!("{service}: it is at {} again; {to} is empty", self.file.what())];
        Ok(Moved { done, ..Moved::default() })
    }

    async fn copy(&self, keep: bool) -> Result<Imported, BoxError> {
        self.file.has_shape(&self.moving.schema)?;
        let versions = self.versions().await?;
        let own = Part { name: self.name.clone(), schema: &self.moving.schema, origin: &self.file };
        let parts = versions.iter().map(|version| Part {
            name: version.name.clone(),
            schema: version.schema,
            origin: &version.file,
        });
        let parts: Vec<Part<'_>> = std::iter::once(own).chain(parts).collect();
        Ok(self.server.import(&parts, keep).await?)
    }

    /// The versions of projections that readers see: each is a database that goes too.
    async fn versions(&self) -> Result<Vec<Version<'a>>, BoxError> {
        let service = &self.moving.service;
        let mut versions = Vec::new();
        for found in self.file.projections()? {
            let is_it = |folded: &&Folded| folded.name == found.projection;
            // The program has no such projection any more: there is nothing to read it.
            let Some(folded) = self.moving.projections.iter().find(is_it) else { continue };
            let (service, projection) = (service.clone(), found.projection);
            if found.building.is_some() {
                return Err(MoveError::Building { service, projection }.into());
            }
            let (version, shape) = found.active;
            if shape != folded.shape {
                return Err(
                    MoveError::Shape { service, projection, found: shape, known: folded.shape }.into()
                );
            }
            let name = StoreName::projection(&service, folded.name, version);
            let file = take(&self.files, &name).await?;
            file.has_shape(&folded.schema)?;
            versions.push(Version { name, schema: &folded.schema, file });
        }
        Ok(versions)
    }

    fn is_from_here(&self, from: &CameFrom) -> bool {
        from.identity == self.file.identity()
    }

    fn settings(&self) -> Vec<(String, Secret)> {
        vec![(format!("services.{}.store", self.moving.service), Secret::new(self.url.clone()))]
    }
}

/// Takes a database of a service that does not run.
async fn take(files: &Sqlite, name: &StoreName) -> Result<Leaving, BoxError> {
    files.leave(name).await.map_err(|error| match error {
        OpenError::InUse { owner, .. } => MoveError::Runs { service: name.service.clone(), owner }.into(),
        error => error.into(),
    })
}

/// A line a table, and what they come to.
fn told(imported: &Imported, was: &str, lines: &mut Vec<String>) {
    let (mut rows, mut bytes) = (0, 0);
    for table in &imported.tables {
        (rows, bytes) = (rows + table.rows, bytes + table.bytes);
        if table.rows > 0 {
            lines.push(format!("  {:<40} {:>9} rows {:>12} bytes", table.name, table.rows, table.bytes));
        }
    }
    lines.push(format!("  {rows} rows of {} tables, {bytes} bytes, {was}", imported.tables.len()));
    for index in &imported.left_behind {
        lines.push(format!(
            "  `{index}` stays behind: it is an index, and PostgreSQL has no table of that name"
        ));
    }
}
