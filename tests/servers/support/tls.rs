//! Servers with TLS, and certificates made for one test.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::redis::RedisServer;
use super::setup::RedisServerBuilder;
use super::wait::block_until;

/// Whether a server with TLS asks its clients for a certificate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ClientCertificate {
    Needed,
    Ignored,
}

impl RedisServerBuilder {
    /// Only encrypted connections, and only from clients with a certificate when `clients` says so.
    pub(crate) fn tls(mut self, certificates: &Certificates, clients: ClientCertificate) -> Self {
        self.tls = true;
        let directory = self.directory.path();
        certificates.write_to(directory);
        let wanted = match clients {
            ClientCertificate::Needed => "yes",
            ClientCertificate::Ignored => "no",
        };
        self.line("tls-cert-file server.crt")
            .line("tls-key-file server.key")
            .line("tls-ca-cert-file ca.crt")
            .line(format!("tls-auth-clients {wanted}"))
    }

    /// The server, or none if this program was built without TLS.
    pub(crate) fn start_if_built_with_tls(self) -> Option<RedisServer> {
        let server = self.prepare();
        server.spawn();
        let mut words = None;
        block_until("the server is ready or has ended", || {
            words = server.last_words();
            words.is_some() || server.try_command(&["PING"]).is_ok()
        });
        let Some(words) = words else { return Some(server) };
        let signs = ["Bad directive", "Failed finding TLS support"];
        assert!(
            signs.iter().any(|sign| words.contains(sign)),
            "the server did not start:\n{words}"
        );
        None
    }
}

/// An authority, and what it signed for a server on the loopback and for one client.
#[derive(Debug)]
pub(crate) struct Certificates {
    pub(crate) authority: String,
    pub(crate) server: Identity,
    pub(crate) client: Identity,
}

/// A certificate and its private key, both in PEM.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        Self::of(&["localhost", "127.0.0.1"])
    }

    /// Those of a server that goes by these names.
    pub(crate) fn of(names: &[&str]) -> Self {
        let mut params = named("multiredlock test authority", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("the system gives randomness");
        let authority = params.self_signed(&key).expect("an authority signs itself").pem();
        let issuer = Issuer::new(params, key);
        Self {
            authority,
            // Nodes of a cluster are each other's clients.
            server: signed(
                &issuer,
                named("server", names),
                &[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            ),
            client: signed(&issuer, named("client", &[]), &[ExtendedKeyUsagePurpose::ClientAuth]),
        }
    }

    /// Those of a server that signed its own, as an authority or as nobody in particular.
    pub(crate) fn self_signed(names: &[&str], is_authority: bool) -> Self {
        let mut params = named("self-signed server", names);
        if is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate().expect("the system gives randomness");
        let certificate = params.self_signed(&key).expect("anybody may sign for itself").pem();
        Self::new().of_server(&certificate, &key.serialize_pem())
    }

    /// Those of a server whose certificate was made elsewhere, and is its own authority.
    pub(crate) fn of_server(self, certificate: &str, key: &str) -> Self {
        Self {
            authority: certificate.to_owned(),
            server: Identity {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            },
            ..self
        }
    }

    /// What a listener of our own asks for TLS with, and shows the server's certificate.
    pub(crate) fn lock(&self) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_slice(self.server.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.server.key.as_bytes());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.expect("we wrote it")], key.expect("we wrote it"))
            .expect("the key is that of the certificate");
        TlsAcceptor::from(Arc::new(config))
    }

    fn write_to(&self, directory: &Path) {
        let files = [
            ("ca.crt", &self.authority),
            ("server.crt", &self.server.certificate),
            ("server.key", &self.server.key),
        ];
        for (name, content) in files {
            fs::write(directory.join(name), content).expect("the directory is writable");
        }
    }
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(hosts).expect("the names are plain");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn signed(issuer: &Issuer<'_, KeyPair>, mut params: CertificateParams, usages: &[ExtendedKeyUsagePurpose]) -> Identity {
    params.extended_key_usages = usages.to_vec();
    let key = KeyPair::generate().expect("the system gives randomness");
    let certificate = params.signed_by(&key, issuer).expect("the authority may sign");
    Identity {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}
