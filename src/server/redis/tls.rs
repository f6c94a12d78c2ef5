//! TLS settings as rustls takes them.

use super::{
    verify::{Trust, Verifier},
    words,
};
use crate::config::Tls;
use fred::{
    rustls::{
        ClientConfig, RootCertStore,
        client::WebPkiServerVerifier,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
    rustls_native_certs,
    types::config::{HostMapping, TlsConfig, TlsConnector, TlsHostMapping},
};
use std::{net::IpAddr, sync::Arc};

pub(super) fn config(tls: &Tls) -> Result<TlsConfig, String> {
    Ok(TlsConfig {
        connector: connector(tls)?,
        hostnames: match &tls.server_name {
            None => TlsHostMapping::None,
            Some(name) => TlsHostMapping::Custom(Arc::new(OneName(name.clone()))),
        },
    })
}

/// The name that all nodes of a cluster are asked for, where they tell of each other by their IP addresses. fred asks a node that
/// tells a name of its own for that one, so the verifier has the name that is expected.
#[derive(Debug)]
struct OneName(String);

impl HostMapping for OneName {
    fn map(&self, _: &IpAddr, _: &str) -> Option<String> {
        Some(self.0.clone())
    }
}

fn connector(tls: &Tls) -> Result<TlsConnector, String> {
    // The provider is named because another crate in the program may bring a second one.
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier {
        trust: trust(tls, &provider)?,
        name: tls.server_name.as_deref().map(name).transpose()?,
        provider: Arc::clone(&provider),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|error| format!("private key: {error}"))?;
            builder
                .with_client_auth_cert(certificates(&identity.certificates)?, key)
                .map_err(|error| format!("client certificate: {}", told(&error)))?
        }
    };
    Ok(config.into())
}

fn name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned()).map_err(|_| format!("`{name}` is no name of a server"))
}

fn trust(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Trust, String> {
    if tls.accepts_any_certificate {
        return Ok(Trust::Anything);
    }
    if let Some(pinned) = &tls.pinned {
        return certificates(pinned).map(Trust::Pinned);
    }
    let roots = Arc::new(roots(tls)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider));
    Ok(Trust::Authorities {
        certificates: tls.ca.as_deref().map(certificates).transpose()?.unwrap_or_default(),
        verifier: verifier.build().map_err(|error| error.to_string())?,
        checks_name: !tls.is_for_any_name,
    })
}

fn roots(tls: &Tls) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = &tls.ca else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() {
            Err("the operating system has no certificate authorities, so give yours".into())
        } else {
            Ok(roots)
        };
    };
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| format!("certificate authority: {}", told(&error)))?;
    }
    Ok(roots)
}

/// Our own certificates and keys are judged in the same terms as the server's.
fn told(error: &fred::rustls::Error) -> String {
    words::tls(&format!("{error:?}")).unwrap_or_else(|| error.to_string())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("certificate: {error}"))?;
    if certificates.is_empty() {
        return Err("there is no certificate in the PEM text".into());
    }
    Ok(certificates)
}
