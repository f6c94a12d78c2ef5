//! How a server proves who it is, and how we do.

use std::fmt;

/// TLS settings of one server.
///
/// # Default
///
/// The certificate authorities of the operating system, no client certificate, and the host as the server's name.
///
/// A setting that is set twice has the later value: certificates of two calls do not add up. A setting that has no effect beside another
/// is an error in [`Builder::build`](crate::Builder::build).
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) pinned: Option<Vec<u8>>,
    pub(crate) is_for_any_name: bool,
    pub(crate) accepts_any_certificate: bool,
    pub(crate) identity: Option<Identity>,
    pub(crate) server_name: Option<String>,
}

/// A client certificate chain and its private key, in PEM.
#[derive(Clone, PartialEq, Eq, Hash)]
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
    /// them nor their expiry matter, so [`ca_pem`](Self::ca_pem) and [`any_name`](Self::any_name) are an error beside it.
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
        self.is_for_any_name = true;
        self
    }

    /// Accepts any certificate, also one that is expired or from anybody. **The connection is encrypted, but whoever can intercept
    /// it can read the password and every lock, and can grant and refuse locks.** It is for tests and closed networks. [`ca_pem`](Self::ca_pem),
    /// [`pinned_pem`](Self::pinned_pem) and [`any_name`](Self::any_name) are an error beside it.
    #[must_use]
    pub fn insecure_accept_any_certificate(mut self) -> Self {
        self.accepts_any_certificate = true;
        self
    }

    /// Expects this name in the server's certificate, in place of the host: of a cluster in that of every node.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Which setting has no effect beside another, if any.
    pub(super) fn problem(&self) -> Option<String> {
        let (ca, pinned) = (self.ca.is_some(), self.pinned.is_some());
        let stronger = match self {
            Self {
                accepts_any_certificate: true,
                ..
            } => "insecure_accept_any_certificate",
            Self { pinned: Some(_), .. } => "pinned_pem",
            _ => return None,
        };
        let weaker = [
            ("ca_pem", ca),
            ("pinned_pem", pinned && self.accepts_any_certificate),
            ("any_name", self.is_for_any_name),
        ];
        let (setting, _) = weaker.into_iter().find(|(_, is_set)| *is_set)?;
        Some(format!("`{setting}` has no effect beside `{stronger}`"))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.as_ref().map_or("system", |_| "given"))
            .field("pinned", &self.pinned.as_ref().map(|_| "given"))
            .field("is_for_any_name", &self.is_for_any_name)
            .field("accepts_any_certificate", &self.accepts_any_certificate)
            .field("identity", &self.identity.as_ref().map(|_| "…"))
            .field("server_name", &self.server_name)
            .finish()
    }
}
