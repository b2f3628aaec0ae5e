//! TLS and SCRAM, in builds that have OpenSSL. A broker of its own: it wants its clients encrypted.

use std::path::{Path, PathBuf};

use divisi_contract::ServiceName;
use divisi_events::Carrier;
use divisi_events::carrier::{CarrierError, Head};
use divisi_kafka::{Credentials, Kafka, Mechanism, Options, Tls};
use divisi_servers::kafka::Settings;
use divisi_store::Lane;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

const USER: &str = "posts";
const PASSWORD: &str = "secret";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(directory: &Path, name: &str) -> (Authority, PathBuf) {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    // OpenSSL takes a certificate that names itself as its signer for one that signed itself.
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
    let roots = directory.join(name);
    std::fs::write(&roots, authority.pem()).expect("a file");
    (authority, roots)
}

/// A broker that shows a certificate of `authority` and asks for a password.
async fn launch(authority: &Authority) -> divisi_servers::Kafka {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, authority).expect("signed");
    let one_line = |pem: String| pem.replace("\r\n", "\n").replace('\n', "\\n");
    let module = "org.apache.kafka.common.security";
    Settings::new()
        .protocol("SASL_SSL")
        .property("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512")
        .property(
            "listener.name.client.plain.sasl.jaas.config",
            format!("{module}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";"),
        )
        .property(
            "listener.name.client.scram-sha-512.sasl.jaas.config",
            format!("{module}.scram.ScramLoginModule required;"),
        )
        .property("listener.name.client.ssl.keystore.type", "PEM")
        .property("listener.name.client.ssl.keystore.certificate.chain", one_line(certificate.pem()))
        .property("listener.name.client.ssl.keystore.key", one_line(key.serialize_pem()))
        .start()
        .await
        .expect("a broker")
}

/// Tells the broker a user's password for SCRAM, with Kafka's own tool.
async fn add_scram_user(server: &divisi_servers::Kafka) {
    let installed = std::fs::read_dir(divisi_servers::cache_directory()).expect("the cache").flatten();
    let jars = installed.map(|entry| entry.path()).find(|path| path.join("kafka-clients-4.1.0.jar").exists());
    let jars = jars.expect("Kafka is installed").join("*");
    let bootstrap = server.internal_address().to_string();
    let ran = tokio::task::spawn_blocking(move || {
        std::process::Command::new("java")
            .arg("-cp")
            .arg(jars)
            .args(["kafka.admin.ConfigCommand", "--bootstrap-server", &bootstrap, "--alter"])
            .args(["--entity-type", "users", "--entity-name", USER])
            .args(["--add-config", &format!("SCRAM-SHA-512=[password={PASSWORD}]")])
            .output()
    });
    let output = ran.await.expect("joined").expect("java runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_is_believed_by_its_certificate_and_a_user_by_password_or_scram() {
    let directory = tempfile::tempdir().expect("a directory");
    let (authority_of_broker, roots) = authority(directory.path(), "roots.pem");
    let (_, others) = authority(directory.path(), "others.pem");
    let server = launch(&authority_of_broker).await;
    add_scram_user(&server).await;
    let head = async |mechanism: Mechanism, password: &str, roots: &Path| {
        let mut options = Options::new("market", server.url()).alone();
        options.credentials = Some(Credentials::new(mechanism, USER, password));
        options.tls = Some(Tls { root_certificates: Some(roots.to_owned()), ..Tls::default() });
        let kafka = Kafka::new(options).expect("options that fit together");
        kafka.head(&ServiceName::from("shop"), "sales", Lane(0)).await
    };
    assert_eq!(head(Mechanism::Plain, PASSWORD, &roots).await.expect("let in"), Head::Empty);
    assert_eq!(head(Mechanism::ScramSha512, PASSWORD, &roots).await.expect("let in"), Head::Empty);
    for (password, roots, words) in
        [("another", &*roots, "Authentication failed"), (PASSWORD, &*others, "certificate verify failed")]
    {
        let error = head(Mechanism::ScramSha512, password, roots).await.expect_err(words);
        assert!(matches!(error, CarrierError::Misconfigured(_)), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let mut options = Options::new("market", server.url());
    options.tls = Some(Tls { root_certificates: Some("nowhere.pem".into()), ..Tls::default() });
    let error = Kafka::new(options).expect_err("no such file");
    assert!(error.to_string().contains("nowhere.pem"), "{error}");
}
