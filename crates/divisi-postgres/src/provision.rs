//! Making a service's role and database on a server: one each, and no other service can open it.
//!
//! It needs a role that may make both, once; serving does not. The password goes to the server in a statement, so a
//! server that writes statements down writes it down too: `log_statement` had better not be `ddl` or `all` then.

use divisi_contract::ServiceName;
use divisi_store::{OpenError, StoreName};
use tokio_postgres::Client;

use crate::connect::{self, Connector};
use crate::error::{open_error, store_error};
use crate::options::Options;
use crate::place::{Place, quoted};

/// Makes the role and the database of `service`, both of that name, on the server that `admin_url` leads to, or brings
/// those that are there to the same state. It may be repeated; a repetition changes the password.
///
/// Nobody but the role, and those who may do everything, can connect to the database afterwards.
pub async fn provision(
    admin_url: &str,
    service: &ServiceName,
    password: &str,
    options: &Options,
) -> Result<(), OpenError> {
    let place = Place::new(&StoreName::of(service.clone()), admin_url, options)?;
    let connector = Connector::new(&place, options)?;
    let (role, database) = (quoted(service.as_str()), quoted(service.as_str()));
    let on_server = [
        format!(
            "DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        ),
        format!("ALTER ROLE {role} LOGIN NOCREATEDB NOCREATEROLE PASSWORD {}", literal(password)),
        // A database is given to a role by who belongs to it, where that one may not do everything.
        format!("GRANT {role} TO CURRENT_USER"),
    ];
    connect::apart(&connector, None, async |client: &Client| {
        for statement in on_server {
            client.batch_execute(&statement).await?;
        }
        let there =
            client.query("SELECT 1 FROM pg_database WHERE datname = $1", &[&service.as_str()]).await?;
        if there.is_empty() {
            let create =
                format!("CREATE DATABASE {database} OWNER {role} ENCODING 'UTF8' TEMPLATE template0");
            client.batch_execute(&create).await?;
        }
        client
            .batch_execute(&format!(
                "ALTER DATABASE {database} OWNER TO {role}; REVOKE ALL ON DATABASE {database} FROM PUBLIC"
            ))
            .await
    })
    .await
    .map_err(|error| open_error(&place.what, store_error(error)))?;
    // What a server gives to everybody inside of each database.
    let inside = format!(
        "REVOKE ALL ON SCHEMA public FROM PUBLIC; ALTER SCHEMA public OWNER TO {role}; \
         DO $$ BEGIN GRANT EXECUTE ON FUNCTION pg_control_system() TO {role}; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$"
    );
    connect::apart(&connector, Some(service.as_str()), async |client: &Client| {
        client.batch_execute(&inside).await
    })
    .await
    .map_err(|error| open_error(&place.what, store_error(error)))
}

/// A text in quotes, as SQL wants it, whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
