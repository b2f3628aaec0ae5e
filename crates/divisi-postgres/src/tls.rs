//! TLS with the server, its certificate always verified.

use std::sync::Arc;

use divisi_store::OpenError;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::options::Options;
use crate::place::refused;

/// A connector that trusts the certificates that the options name, or those that browsers trust.
///
/// The provider is named, so that it does not depend on what else is linked into the program.
pub(crate) fn connector(options: &Options) -> Result<MakeRustlsConnect, OpenError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("TLS", &format!("it cannot be set up: {error}")))?
        .with_root_certificates(roots(options)?)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn roots(options: &Options) -> Result<RootCertStore, OpenError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &options.root_certificates else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    let what = path.display().to_string();
    let unreadable =
        |why: &str| refused(&what, &format!("it holds no certificates as PEM that can be used: {why}"));
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unreadable(&error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(&error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unreadable("there is none"));
    }
    Ok(roots)
}
