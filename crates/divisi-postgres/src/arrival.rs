//! A place to which a service's database moves: what is there, and whether a service may start on it.
//!
//! What was copied belongs to `SERVICE (arriving)`, so that no service starts on it before the move has come to its end.
//! Until the first start after that, the stored life of the database is the file that it came from: no server has begun
//! an epoch here, and nothing is here that the file lacks.

use deadpool_postgres::{ClientWrapper, Object};
use divisi_store::{Epoch, OpenError, Origin, StoreName};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

use crate::backend::Postgres;
use crate::error::{open_error, store_error};
use crate::place::{Place, quoted, refused};
use crate::{connect, migrate};

/// What stands behind the name of a service on its way here.
pub(crate) const ARRIVING: &str = " (arriving)";
/// What stands before the file in the place of the life of a server.
pub(crate) const CAME_FROM: &str = "moved from ";

/// What is at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrival {
    /// Nothing.
    Empty,
    /// A copy on which no service starts.
    Arriving(CameFrom),
    /// A copy on which the service may start, and has not yet.
    Arrived(CameFrom),
    /// The service's own database: it has started there.
    Lived,
    /// Something else; this is the first of it.
    Taken(String),
}

/// Which state of which database was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameFrom {
    /// Which database.
    pub identity: String,
    /// The newest epoch that it had.
    pub epoch: Epoch,
}

/// A connection to a place that nobody else opens or migrates meanwhile.
pub(crate) struct Stay {
    /// Taken from its pool: it has a lock, no limits, and maybe a transaction, so it is not one to give back.
    client: ClientWrapper,
    place: Place,
}

/// What is done at a place, or in another schema of its database.
#[derive(Clone, Copy)]
pub(crate) struct Visit<'a> {
    pub(crate) client: &'a ClientWrapper,
    pub(crate) place: &'a Place,
}

impl Postgres {
    /// What is at the place of `name`.
    pub async fn arrival(&self, name: &StoreName) -> Result<Arrival, OpenError> {
        self.stay(name).await?.visit().look(name).await
    }

    /// Lets the service start on what has arrived at the place of `name`.
    pub async fn arrived(&self, name: &StoreName) -> Result<(), OpenError> {
        self.stay(name).await?.visit().rename(&arriving(name), &name.to_string()).await
    }

    /// Takes [`Postgres::arrived`] back for what came from the database `identity`, as long as the service has not started
    /// on it; answers what is there.
    pub async fn detain(&self, name: &StoreName, identity: &str) -> Result<Arrival, OpenError> {
        let stay = self.stay(name).await?;
        let visit = stay.visit();
        visit.batch("BEGIN").await?;
        let found = match visit.look(name).await? {
            Arrival::Arrived(from) if from.identity == identity => {
                // Whoever begins an epoch waits for this row.
                let sql = "SELECT 1 FROM divisi_meta WHERE starts_with(db_identity, $1) FOR UPDATE";
                if visit.rows(sql, &[&CAME_FROM]).await?.is_empty() {
                    Arrival::Lived
                } else {
                    visit.rename(&name.to_string(), &arriving(name)).await?;
                    Arrival::Arriving(from)
                }
            }
            found => found,
        };
        visit.batch("COMMIT").await?;
        Ok(found)
    }

    /// Removes what a move has left at the place of `name`, if that is all there is.
    pub async fn forget_arrival(&self, name: &StoreName) -> Result<(), OpenError> {
        let stay = self.stay(name).await?;
        let visit = stay.visit();
        visit.batch("BEGIN").await?;
        if let Arrival::Arriving(_) = visit.look(name).await? {
            visit.clear().await?;
        }
        visit.batch("COMMIT").await
    }

    /// What the place of `name` is called: database, host and port, no password.
    pub fn place_name(&self, name: &StoreName) -> Result<String, OpenError> {
        Ok(self.place(name)?.0.what)
    }

    /// Goes to the place of `name`, when nobody migrates it any more.
    pub(crate) async fn stay(&self, name: &StoreName) -> Result<Stay, OpenError> {
        let (place, connector) = self.place(name)?;
        let pool = connect::pool(&place, &connector, &self.options)?;
        let client = self.first(&place, &connector, &pool).await?;
        connect::check_server(&client, &place.what).await?;
        migrate::alone(&client, &place).await?;
        Ok(Stay { client: Object::take(client), place })
    }
}

impl Stay {
    pub(crate) fn visit(&self) -> Visit<'_> {
        Visit { client: &self.client, place: &self.place }
    }
}

impl Visit<'_> {
    /// What is here.
    pub(crate) async fn look(&self, name: &StoreName) -> Result<Arrival, OpenError> {
        let Some(found) = self.first_thing().await? else { return Ok(Arrival::Empty) };
        if !self.is_there("divisi_meta").await? {
            return Ok(Arrival::Taken(found));
        }
        let rows = self.rows("SELECT source, db_identity, epoch FROM divisi_meta", &[]).await?;
        let Some(row) = rows.first() else { return Ok(Arrival::Taken(found)) };
        let (source, identity): (String, String) = (self.column(row, 0)?, self.column(row, 1)?);
        let from = identity.strip_prefix(CAME_FROM).map(str::to_owned);
        let from =
            from.map(|identity| self.column(row, 2).map(|epoch| CameFrom { identity, epoch: Epoch(epoch) }));
        Ok(match from.transpose()? {
            Some(from) if source == arriving(name) => Arrival::Arriving(from),
            Some(from) if source == name.to_string() => Arrival::Arrived(from),
            None if source == name.to_string() => Arrival::Lived,
            _ => Arrival::Taken(format!("the database of `{source}`")),
        })
    }

    /// The first thing that is in the schema, but for what an extension has brought.
    pub(crate) async fn first_thing(&self) -> Result<Option<String>, OpenError> {
        let sql = "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace \
                   AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
                   AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') \
                   ORDER BY c.relname LIMIT 1";
        let rows = self.rows(sql, &[]).await?;
        let name: Option<String> = rows.first().map(|row| self.column(row, 0)).transpose()?;
        Ok(name.map(|name| format!("`{name}`")))
    }

    /// Takes away what an earlier move has brought here, its projections too.
    pub(crate) async fn clear(&self) -> Result<(), OpenError> {
        let sql = "SELECT name || '_v' || active FROM divisi_projection";
        for row in self.rows(sql, &[]).await? {
            let schema: String = self.column(&row, 0)?;
            self.batch(&format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(&schema))).await?;
        }
        // Not the schema: who may use it, and what extensions have brought, is an administrator's.
        self.batch(
            "DO $$ DECLARE it record; BEGIN \
             FOR it IN SELECT format('DROP %s IF EXISTS %I CASCADE', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' \
               WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, c.relname) AS sql FROM pg_class c \
               WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
               AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('e', 'i')) \
             LOOP EXECUTE it.sql; END LOOP; \
             FOR it IN SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure) AS sql FROM pg_proc p \
               WHERE p.pronamespace = current_schema()::regnamespace \
               AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') \
             LOOP EXECUTE it.sql; END LOOP; \
             FOR it IN SELECT format('DROP TYPE IF EXISTS %I CASCADE', t.typname) AS sql FROM pg_type t \
               WHERE t.typnamespace = current_schema()::regnamespace AND t.typtype IN ('e', 'd', 'r') \
               AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e') \
             LOOP EXECUTE it.sql; END LOOP; END $$",
        )
        .await
    }

    /// Writes down where all of it is from: no server has begun an epoch here.
    pub(crate) async fn came_from(&self, origin: &dyn Origin) -> Result<(), OpenError> {
        let (identity, epoch) = (format!("{CAME_FROM}{}", origin.identity()), origin.epoch().0);
        let sql = "UPDATE divisi_meta SET epoch = $1, db_identity = $2";
        self.rows(sql, &[&epoch, &identity]).await.map(drop)
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), OpenError> {
        let sql = "UPDATE divisi_meta SET source = $1 WHERE source IN ($1, $2) RETURNING 1";
        match self.rows(sql, &[&to, &from]).await?.len() {
            1 => Ok(()),
            _ => Err(refused(&self.place.what, "what a move has brought is gone from it")),
        }
    }

    pub(crate) async fn is_there(&self, table: &str) -> Result<bool, OpenError> {
        let sql = "SELECT to_regclass(quote_ident(current_schema()) || '.' || quote_ident($1)) IS NOT NULL";
        let rows = self.rows(sql, &[&table]).await?;
        rows.first().map_or(Ok(false), |row| self.column(row, 0))
    }

    pub(crate) async fn batch(&self, sql: &str) -> Result<(), OpenError> {
        self.client.batch_execute(sql).await.map_err(|error| self.failed(error))
    }

    pub(crate) async fn rows(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, OpenError> {
        self.client.query(sql, params).await.map_err(|error| self.failed(error))
    }

    pub(crate) fn column<'a, T: FromSql<'a>>(&self, row: &'a Row, n: usize) -> Result<T, OpenError> {
        row.try_get(n).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: tokio_postgres::Error) -> OpenError {
        open_error(&self.place.what, store_error(error))
    }
}

/// Whose what is on its way here is.
pub(crate) fn arriving(name: impl std::fmt::Display) -> String {
    format!("{name}{ARRIVING}")
}
