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

use crate::server::RedisServer;
use crate::settings::RedisServerBuilder;

/// Whether a server with TLS asks its clients for a certificate.
#[derive(Debug, Clone, Copy)]
pub enum ClientCertificate {
    /// It refuses clients without one.
    Needed,
    /// It takes any client.
    Ignored,
}

impl RedisServerBuilder {
    /// Only encrypted connections, and only from clients with a certificate when `clients` says so.
    pub fn tls(mut self, certificates: &Certificates, clients: ClientCertificate) -> Self {
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
    pub fn start_if_built_with_tls(self) -> Option<RedisServer> {
        const SIGNS: [&str; 2] = ["Bad directive", "Failed finding TLS support"];
        match self.try_start() {
            Err(error) if SIGNS.iter().any(|sign| error.to_string().contains(sign)) => None,
            started => Some(started.unwrap_or_else(|error| panic!("{error}"))),
        }
    }
}

/// An authority, and what it signed for a server on the loopback and for one client.
#[derive(Debug)]
pub struct Certificates {
    /// The certificate of the authority, in PEM.
    pub authority: String,
    /// What the server shows.
    pub server: Identity,
    /// What the client shows.
    pub client: Identity,
}

/// A certificate and its private key, both in PEM.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Certificates {
    /// Those of a server on the loopback.
    #[expect(clippy::new_without_default, reason = "each call makes other keys")]
    pub fn new() -> Self {
        Self::of(&["localhost", "127.0.0.1"])
    }

    /// Those of a server that goes by these names.
    pub fn of(names: &[&str]) -> Self {
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
    pub fn self_signed(names: &[&str], is_authority: bool) -> Self {
        let mut params = named("self-signed server", names);
        if is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let key = KeyPair::generate().expect("the system gives randomness");
        let certificate = params.self_signed(&key).expect("anybody may sign for itself").pem();
        Self::new().of_server(&certificate, &key.serialize_pem())
    }

    /// Those of a server whose certificate was made elsewhere, and is its own authority.
    pub fn of_server(self, certificate: &str, key: &str) -> Self {
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
    pub fn lock(&self) -> TlsAcceptor {
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
