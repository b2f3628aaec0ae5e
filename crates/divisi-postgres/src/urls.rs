//! Which database belongs to which service.

use std::collections::BTreeMap;
use std::fmt;

use divisi_contract::ServiceName;

/// Where `{service}` stands in a template.
const SERVICE: &str = "{service}";

/// The address of each service's database: named one by one, or from a template.
///
/// A service has a database and credentials of its own, so that no other service can open it.
///
/// ```
/// use divisi_postgres::Urls;
///
/// let urls = Urls::from_template("postgres://{service}:secret@db.internal/{service}")
///     .with("search", "postgres://search:other@elsewhere.internal/search?sslmode=require");
/// assert_eq!(urls.of(&"posts".into()).as_deref(), Some("postgres://posts:secret@db.internal/posts"));
/// assert!(urls.of(&"search".into()).is_some_and(|url| url.contains("elsewhere")));
/// ```
#[derive(Clone, Default)]
pub struct Urls {
    named: BTreeMap<ServiceName, String>,
    template: Option<String>,
}

impl Urls {
    /// No service has a database yet.
    pub fn none() -> Urls {
        Urls::default()
    }

    /// Every service has the database at `template`, in which `{service}` stands for its name.
    pub fn from_template(template: impl Into<String>) -> Urls {
        Urls { named: BTreeMap::new(), template: Some(template.into()) }
    }

    /// These, and `service` has the database at `url`, whatever the template says.
    #[must_use]
    pub fn with(mut self, service: impl Into<ServiceName>, url: impl Into<String>) -> Urls {
        self.named.insert(service.into(), url.into());
        self
    }

    /// The address of a service's database, if it has one.
    pub fn of(&self, service: &ServiceName) -> Option<String> {
        let named = self.named.get(service).cloned();
        named.or_else(|| Some(self.template.as_ref()?.replace(SERVICE, service.as_str())))
    }
}

/// Names of services alone: an address has a password in it.
impl fmt::Debug for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Urls")
            .field("named", &self.named.keys().collect::<Vec<_>>())
            .field("template", &self.template.is_some())
            .finish()
    }
}
