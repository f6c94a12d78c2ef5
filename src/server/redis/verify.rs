//! Which certificates of a server are accepted.

use fred::rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) trust: Trust,
    /// What the certificate has to be for, in place of the name that the server was asked for.
    pub(super) name: Option<ServerName<'static>>,
    pub(super) provider: Arc<CryptoProvider>,
}

/// What makes a certificate one of the server that is meant.
#[derive(Debug)]
pub(super) enum Trust {
    /// It is signed by one of these authorities, or is one of them itself, as if the server signed it for itself.
    Authorities {
        certificates: Vec<CertificateDer<'static>>,
        verifier: Arc<WebPkiServerVerifier>,
        checks_name: bool,
    },
    /// It is one of these.
    Pinned(Vec<CertificateDer<'static>>),
    /// It is any certificate, and nobody knows whose the server is.
    Anything,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let name = self.name.as_ref().unwrap_or(name);
        let accepted = Ok(ServerCertVerified::assertion());
        match &self.trust {
            Trust::Anything => accepted,
            Trust::Pinned(pinned) if pinned.contains(certificate) => accepted,
            Trust::Pinned(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Trust::Authorities {
                certificates,
                checks_name,
                ..
            } if certificates.contains(certificate) => {
                if *checks_name {
                    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                }
                accepted
            }
            Trust::Authorities {
                verifier, checks_name, ..
            } => match verifier.verify_server_cert(certificate, intermediates, name, ocsp_response, now) {
                // The name is looked at last, when all else was accepted.
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) if !checks_name => accepted,
                verified => verified,
            },
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.trust {
            Trust::Anything => Ok(HandshakeSignatureValid::assertion()),
            _ => verify_tls12_signature(
                message,
                certificate,
                signed,
                &self.provider.signature_verification_algorithms,
            ),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self.trust {
            Trust::Anything => Ok(HandshakeSignatureValid::assertion()),
            _ => verify_tls13_signature(
                message,
                certificate,
                signed,
                &self.provider.signature_verification_algorithms,
            ),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
