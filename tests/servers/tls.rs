//! Encrypted connections, and who vouches for whom.
//!
//! Not every server is built with TLS. Without it only what needs no such server is tested.

use multiredlock::{ConfigError, DownReason, Redlock, Server, Tls};

use crate::access::works;
use crate::support::{Certificates, ClientCertificate, RedisServer, eventually, quick, reason};

fn connect(server: &RedisServer, tls: Tls) -> Redlock {
    let server = Server::parse(&server.url()).unwrap().tls(tls);
    quick().servers([server]).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_vouches_for_a_server() {
    let certificates = Certificates::new();
    let builder = RedisServer::builder().tls(&certificates, ClientCertificate::Ignored);
    let Some(server) = builder.start_if_built_with_tls() else {
        return;
    };

    works(&connect(&server, Tls::new().ca_pem(certificates.authority.as_str())), 1).await;

    let named = Tls::new()
        .ca_pem(certificates.authority.as_str())
        .server_name("localhost");
    works(&connect(&server, named), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_vouches_for_us() {
    let certificates = Certificates::new();
    let builder = RedisServer::builder().tls(&certificates, ClientCertificate::Needed);
    let Some(server) = builder.start_if_built_with_tls() else {
        return;
    };
    let trusting = Tls::new().ca_pem(certificates.authority.as_str());
    let client = &certificates.client;

    let identified = trusting
        .clone()
        .identity_pem(client.certificate.as_str(), client.key.as_str());
    works(&connect(&server, identified), 1).await;

    is_refused(&connect(&server, trusting), "the server asks for a client certificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_we_do_not_know_vouches_for_nothing() {
    let certificates = Certificates::new();
    let builder = RedisServer::builder().tls(&certificates, ClientCertificate::Ignored);
    let Some(server) = builder.start_if_built_with_tls() else {
        return;
    };

    // It has the same name.
    let words = "the server's certificate is not signed by the authority that is trusted here";
    is_refused(
        &connect(&server, Tls::new().ca_pem(Certificates::new().authority)),
        words,
    )
    .await;
    let words = "the server's certificate is signed by no authority that is trusted here";
    is_refused(&connect(&server, Tls::new()), words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_refused() {
    let certificates = Certificates::new();
    let builder = RedisServer::builder().tls(&certificates, ClientCertificate::Ignored);
    let Some(server) = builder.start_if_built_with_tls() else {
        return;
    };

    let named = Tls::new()
        .ca_pem(certificates.authority.as_str())
        .server_name("redis.test");
    let words = "the server's certificate is for `localhost` and `127.0.0.1`, not for `redis.test`";
    is_refused(&connect(&server, named), words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_not_spoken_to_in_plaintext() {
    let server = RedisServer::start();
    let encrypted = server.url().replacen("redis://", "rediss://", 1);
    let redlock = quick().servers([encrypted]).build().unwrap();
    eventually("it is down", async || {
        reason(&redlock, 0).is_some_and(|reason| reason != DownReason::NotYet)
    })
    .await;
    assert_eq!(server.calls("hello"), 0);
}

async fn is_refused(redlock: &Redlock, words: &str) {
    let is_known = |reason: &DownReason| !matches!(reason, DownReason::NotYet | DownReason::ConnectionLost);
    eventually("the handshake fails", async || {
        reason(redlock, 0).as_ref().is_some_and(is_known)
    })
    .await;
    let told = reason(redlock, 0).unwrap();
    assert!(
        matches!(&told, DownReason::Tls(text) if text.as_str() == words),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_cannot_be_read_are_a_wrong_configuration() {
    let certificates = Certificates::new();
    let (authority, client) = (certificates.authority.as_str(), &certificates.client);
    for tls in [
        Tls::new().ca_pem("no certificate"),
        Tls::new()
            .ca_pem(authority)
            .identity_pem("no certificate", client.key.as_str()),
        Tls::new()
            .ca_pem(authority)
            .identity_pem(client.certificate.as_str(), "no key"),
    ] {
        let server = Server::new("localhost").tls(tls);
        let error = quick().servers([server]).build().unwrap_err();
        assert!(matches!(error, ConfigError::Tls { .. }), "{error}");
    }
}
