//! How a server proves who it is, and how we do.

use std::fmt;

/// TLS settings of one server.
///
/// # Default
///
/// The certificate authorities of the operating system, no client certificate, and the host as the server's name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) identity: Option<Identity>,
    pub(crate) server_name: Option<String>,
}

/// A client certificate chain and its private key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) certificates: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Tls {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these certificate authorities, in PEM, in place of those of the operating system.
    #[must_use]
    pub fn ca_pem(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(certificates.into());
        self
    }

    /// Shows this certificate chain to the server, and proves it with this private key, both in PEM.
    #[must_use]
    pub fn identity_pem(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some(Identity {
            certificates: certificates.into(),
            key: key.into(),
        });
        self
    }

    /// Expects this name in the server's certificate, in place of the host: of a cluster in that of every node.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.as_ref().map_or("system", |_| "given"))
            .field("identity", &self.identity.as_ref().map(|_| "…"))
            .field("server_name", &self.server_name)
            .finish()
    }
}
