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

/// The statements that make a service's role and database, in two places.
struct Statements {
    /// Before the database is there.
    role: [String; 3],
    create: String,
    /// When it is.
    owner: String,
    /// In the database itself.
    inside: String,
}

impl Statements {
    fn of(service: &ServiceName, password: &str) -> Statements {
        let (role, database) = (quoted(service.as_str()), quoted(service.as_str()));
        Statements {
            role: [
                format!(
                    "DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
                ),
                format!("ALTER ROLE {role} LOGIN NOCREATEDB NOCREATEROLE PASSWORD {}", literal(password)),
                // A database is given to a role by who belongs to it, where that one may not do everything.
                format!("GRANT {role} TO CURRENT_USER"),
            ],
            create: format!("CREATE DATABASE {database} OWNER {role} ENCODING 'UTF8' TEMPLATE template0"),
            owner: format!(
                "ALTER DATABASE {database} OWNER TO {role}; REVOKE ALL ON DATABASE {database} FROM PUBLIC"
            ),
            // What a server gives to everybody inside of each database.
            inside: format!(
                "REVOKE ALL ON SCHEMA public FROM PUBLIC; ALTER SCHEMA public OWNER TO {role}; \
                 DO $$ BEGIN GRANT EXECUTE ON FUNCTION pg_control_system() TO {role}; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$"
            ),
        }
    }
}

/// Makes the role and the database of `service`, both of that name, on the server that `admin_url` leads to, or brings
/// those that are there to the same state. It may be repeated; a repetition sets the password again.
///
/// Nobody but the role, and those who may do everything, can connect to the database afterwards. Answers whether the
/// database is new.
pub async fn provision(
    admin_url: &str,
    service: &ServiceName,
    password: &str,
    options: &Options,
) -> Result<bool, OpenError> {
    let place = Place::new(&StoreName::of(service.clone()), admin_url, options)?;
    let connector = Connector::new(&place, options)?;
    let statements = Statements::of(service, password);
    let made = connect::apart(&connector, None, async |client: &Client| {
        for statement in &statements.role {
            client.batch_execute(statement).await?;
        }
        let there =
            client.query("SELECT 1 FROM pg_database WHERE datname = $1", &[&service.as_str()]).await?;
        if there.is_empty() {
            client.batch_execute(&statements.create).await?;
        }
        client.batch_execute(&statements.owner).await?;
        Ok(there.is_empty())
    })
    .await
    .map_err(|error| open_error(&place.what, store_error(error)))?;
    connect::apart(&connector, Some(service.as_str()), async |client: &Client| {
        client.batch_execute(&statements.inside).await
    })
    .await
    .map_err(|error| open_error(&place.what, store_error(error)))?;
    Ok(made)
}

/// What [`provision()`] does, as a script for `psql`, where `password` is written as it is given. Nobody is asked.
pub fn provisioning(service: &ServiceName, password: &str) -> String {
    let Statements { role, create, owner, inside } = Statements::of(service, password);
    let (name, database) = (literal(service.as_str()), quoted(service.as_str()));
    format!(
        "{};\nSELECT {} WHERE NOT EXISTS (SELECT 1 FROM pg_database WHERE datname = {name}) \\gexec\n{owner};\n\\connect {database}\n{inside};\n",
        role.join(";\n"),
        literal(&create),
    )
}

/// The address of a service's own database, on the server that `admin_url` leads to. What the address says of the
/// connection stays, who the administrator is does not.
pub fn own_url(admin_url: &str, service: &ServiceName, password: &str) -> Option<String> {
    let (scheme, rest) = admin_url.split_once("://")?;
    // A password may have a `/`, a `?` or an `@` in it that should have been written otherwise: the last `@` counts.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let hosts = place.split('/').next().unwrap_or_default();
    let others = |part: &&str| !matches!(part.split('=').next(), Some("" | "user" | "password" | "dbname"));
    let query: Vec<&str> = query.split('&').filter(others).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    Some(format!("{scheme}://{service}:{}@{hosts}/{service}{query}", escaped(password)))
}

/// A text as a part of an address.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let escape = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(escape).collect()
}

/// A text in quotes, as SQL wants it, whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
