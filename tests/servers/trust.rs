//! Whose certificates are accepted, beside those that an authority signed for the name of the server.

use multiredlock::Tls;

use crate::access::works;
use crate::support::{Certificates, ClientCertificate, RedisServer};
use crate::tls::{self, connect};

/// A certificate of X.509 version 1, for `localhost` by its common name, until the year 2126.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----
MIIBIzCBywIUcRvKb7dG5paQDCledATQHmjntLUwCgYIKoZIzj0EAwIwFDESMBAG
A1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyODEwNTMwM1oYDzIxMjYxMTA0MTA1MzAz
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQTuAPP0pplxlrXYkRv5ilE1MqAtWPoFFya/wpWIXSTAqsXbzHHTnftKs/ZR7kX
ojXzVDMSoY8qdz8gYT3pGlbPMAoGCCqGSM49BAMCA0cAMEQCICBTUtyJQ0YUtsDn
WECDAe/vAZpohpTSyXJ5PVjqw7HGAiAas/n+aLp/MrXknewlHz9O/hAHddnMTSXU
Ba8sCzPKow==
-----END CERTIFICATE-----
";

const ITS_KEY: &str = "\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIOrZ6dAVnRR8Na3BB78wvgunf0eqQeEGhlQV3n5bnS/RoAoGCCqGSM49
AwEHoUQDQgAEE7gDz9KaZcZa12JEb+YpRNTKgLVj6BRcmv8KViF0kwKrF28xx053
7SrP2Ue5F6I181QzEqGPKnc/IGE96RpWzw==
-----END EC PRIVATE KEY-----
";

const AUTHORITY: &str =
    "the server shows the certificate of an authority (CA:TRUE), which has to be given as the one that is trusted";

const STRANGER: &str = "the server's certificate is signed by no authority that is trusted here";

fn start(certificates: &Certificates) -> Option<RedisServer> {
    tls::start(certificates, ClientCertificate::Ignored)
}

async fn is_refused(server: &RedisServer, tls: Tls, words: &str) {
    tls::is_refused(&connect(server, tls), words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_the_server_signed_for_itself_can_be_trusted() {
    for is_authority in [true, false] {
        let certificates = Certificates::self_signed(&["localhost", "127.0.0.1"], is_authority);
        let Some(server) = start(&certificates) else { return };
        let given = || Tls::new().ca_pem(certificates.authority.as_str());
        works(&connect(&server, given()), 1).await;
        works(&connect(&server, given().server_name("localhost")), 1).await;
        let words = "the server's certificate is for `localhost` and `127.0.0.1`, not for `redis.test`";
        is_refused(&server, given().server_name("redis.test"), words).await;
        works(&connect(&server, given().server_name("redis.test").any_name()), 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_of_the_same_kind_is_not_trusted() {
    for (is_authority, words) in [(true, AUTHORITY), (false, STRANGER)] {
        let certificates = Certificates::self_signed(&["127.0.0.1"], is_authority);
        let Some(server) = start(&certificates) else { return };
        let other = || Certificates::self_signed(&["127.0.0.1"], is_authority).authority;
        is_refused(&server, Tls::new().ca_pem(Certificates::new().authority), words).await;
        is_refused(
            &server,
            Tls::new().ca_pem(Certificates::new().authority).any_name(),
            words,
        )
        .await;
        let words = "the server's certificate is not the one that is expected";
        is_refused(&server, Tls::new().pinned_pem(other()), words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_certificate_can_be_pinned_whoever_signed_it_for_whom() {
    let certificates = Certificates::of(&["redis.test"]);
    let Some(server) = start(&certificates) else { return };
    let both = format!("{}{}", Certificates::new().authority, certificates.server.certificate);
    for pinned in [&certificates.server.certificate, &both] {
        works(&connect(&server, Tls::new().pinned_pem(pinned.as_str())), 1).await;
    }
    let words = "the server's certificate is not the one that is expected";
    is_refused(&server, Tls::new().pinned_pem(certificates.authority.as_str()), words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_can_be_trusted_for_any_name() {
    for (names, told) in [
        (
            &["redis.test"][..],
            "the server's certificate is for `redis.test`, not for `127.0.0.1`",
        ),
        (
            &[],
            "the server's certificate names no host (it has no subject alternative name), so not `127.0.0.1` either",
        ),
    ] {
        let certificates = Certificates::of(names);
        let Some(server) = start(&certificates) else { return };
        let given = || Tls::new().ca_pem(certificates.authority.as_str());
        is_refused(&server, given(), told).await;
        works(&connect(&server, given().any_name()), 1).await;
        let same_name = "the server's certificate is not signed by the authority that is trusted here";
        is_refused(
            &server,
            Tls::new().ca_pem(Certificates::new().authority).any_name(),
            same_name,
        )
        .await;
        works(&connect(&server, Tls::new().insecure_accept_any_certificate()), 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_first_version_is_told_as_such() {
    let certificates = Certificates::new().of_server(VERSION_1, ITS_KEY);
    let Some(server) = start(&certificates) else { return };
    let words = "the certificate is of X.509 version 1, and version 3 is needed";
    is_refused(&server, Tls::new().ca_pem(VERSION_1), words).await;
    is_refused(&server, Tls::new().ca_pem(Certificates::new().authority), words).await;
    works(&connect(&server, Tls::new().insecure_accept_any_certificate()), 1).await;
}
