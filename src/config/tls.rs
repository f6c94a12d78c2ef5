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
    pub(crate) pinned: Option<Vec<u8>>,
    pub(crate) checks: Checks,
    pub(crate) identity: Option<Identity>,
    pub(crate) server_name: Option<String>,
}

/// How much of a server's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Checks {
    #[default]
    Everything,
    AllButTheName,
    Nothing,
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
    ///
    /// A certificate that the server signed for itself can be given here as well. It must be for the name of the server, but when it
    /// expires is not looked at, as with every authority that is given.
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

    /// Accepts these certificates of the server, in PEM, and no others. No authority has to have signed them, and neither the names in
    /// them nor their expiry matter.
    ///
    /// A server that gets a new certificate is down until it is given here. To change it without that give both meanwhile.
    #[must_use]
    pub fn pinned_pem(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.pinned = Some(certificates.into());
        self
    }

    /// Accepts a certificate for any name, as long as a trusted authority has signed it.
    ///
    /// Whoever has a certificate of that authority can then pass for the server, so the authority should sign for these servers
    /// only. Never use it with the authorities of the operating system: they sign for everybody.
    #[must_use]
    pub fn any_name(mut self) -> Self {
        self.checks = self.checks.max(Checks::AllButTheName);
        self
    }

    /// Accepts any certificate, also one that is expired or from anybody. **The connection is encrypted, but whoever can intercept
    /// it can read the password and every lock, and can grant and refuse locks.** It is for tests and closed networks.
    #[must_use]
    pub fn insecure_accept_any_certificate(mut self) -> Self {
        self.checks = Checks::Nothing;
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
            .field("pinned", &self.pinned.as_ref().map(|_| "given"))
            .field("checks", &self.checks)
            .field("identity", &self.identity.as_ref().map(|_| "…"))
            .field("server_name", &self.server_name)
            .finish()
    }
}
