//! Encrypted connections, and who vouches for whom.
//!
//! Not every server is built with TLS. Without it only what needs no such server is tested.

use multiredlock::{ConfigError, Redlock, Server, Tls, status::DownReason};

use crate::access::works;
use crate::support::{
    Certificates, ClientCertificate, Door, FakeServer, Manner, RedisCluster, RedisServer, Turncoat, assert_matches,
    client, eventually, is_down, ms, quick, reason,
};

pub(crate) fn connect(server: &RedisServer, tls: Tls) -> Redlock {
    let server = Server::parse(&server.url()).unwrap().tls(tls);
    client([server])
}

/// A server with certificates, or none if the program was built without TLS.
pub(crate) fn start(certificates: &Certificates, clients: ClientCertificate) -> Option<RedisServer> {
    RedisServer::builder()
        .tls(certificates, clients)
        .start_if_built_with_tls()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_vouches_for_a_server() {
    let certificates = Certificates::new();
    let Some(server) = start(&certificates, ClientCertificate::Ignored) else {
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
    let Some(server) = start(&certificates, ClientCertificate::Needed) else {
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
    let Some(server) = start(&certificates, ClientCertificate::Ignored) else {
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
    let Some(server) = start(&certificates, ClientCertificate::Ignored) else {
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
    let redlock = client([encrypted]);
    is_down(&redlock, 0, |reason| *reason != DownReason::NotYet).await;
    assert_eq!(server.calls("hello"), 0);
}

/// Waits until the handshake has failed, and checks the words.
pub(crate) async fn is_refused(redlock: &Redlock, words: &str) {
    let is_known = |reason: &DownReason| !matches!(reason, DownReason::NotYet | DownReason::ConnectionLost);
    let told = is_down(redlock, 0, is_known).await;
    assert_matches!(&told, DownReason::Tls(text) if text.as_str() == words);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_cannot_be_read_are_a_wrong_configuration() {
    let certificates = Certificates::new();
    let (authority, client) = (certificates.authority.as_str(), &certificates.client);
    let trusting = || Tls::new().ca_pem(authority);
    for (tls, problem) in [
        (
            Tls::new().ca_pem("no certificate"),
            "there is no certificate in the PEM text",
        ),
        (
            Tls::new().pinned_pem("no certificate"),
            "there is no certificate in the PEM text",
        ),
        (
            trusting().identity_pem("no certificate", client.key.as_str()),
            "there is no certificate in the PEM text",
        ),
        (
            trusting().identity_pem(client.certificate.as_str(), "no key"),
            "private key: no items found",
        ),
        (trusting().server_name("no name"), "`no name` is no name of a server"),
    ] {
        let error = quick()
            .servers([Server::new("localhost").tls(tls)])
            .build()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("TLS settings of server localhost:6379: {problem}")
        );
        assert_matches!(error, ConfigError::Tls { .. });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_told_as_such() {
    let cluster = RedisCluster::start(2);
    let servers = [
        RedisServer::start(),
        RedisServer::builder().password("secret").start(),
        RedisServer::builder().line("rename-command PING \"\"").prepare(),
    ];
    servers[2].spawn_unasked();
    let sentinel = RedisServer::builder().sentinel_of("locks", &servers[0]).start();
    let encrypted = |url: String| url.replacen("redis", "rediss", 1);
    let of_sentinel = sentinel.url().replacen("redis://", "rediss-sentinel://", 1);
    let urls = [
        encrypted(servers[0].url()),
        encrypted(servers[1].url_as(":secret")),
        encrypted(servers[2].url()),
        encrypted(cluster.url()),
        format!("{of_sentinel}&sentinelServiceName=locks"),
    ];
    let redlock = quick().heartbeat_timeout(ms(300)).servers(urls).build().unwrap();
    let words = "it answers without TLS: use its `tls-port`, or `redis://` for no encryption";
    for server in 0..5 {
        eventually("it is found out", async || {
            reason(&redlock, server).is_some_and(|reason| reason.to_string().ends_with(words))
        })
        .await;
    }
    assert_eq!(reason(&redlock, 0), Some(DownReason::LacksTls));
    assert_eq!(servers[1].calls("hello"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_is_told_as_such_if_the_address_names_none() {
    let certificates = Certificates::new();
    for clients in [ClientCertificate::Ignored, ClientCertificate::Needed] {
        let Some(server) = start(&certificates, clients) else {
            return;
        };
        let plain = server.url().replacen("rediss://", "redis://", 1);
        let redlock = client([plain]);
        is_down(&redlock, 0, |reason| *reason == DownReason::NeedsTls).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_listener_with_tls_is_told_as_such() {
    let turncoat = Turncoat::start(Door::Tls(Certificates::new())).await;
    let plain = format!("redis://{}", turncoat.address().address());
    let redlock = client([plain]);
    is_down(&redlock, 0, |reason| *reason == DownReason::NeedsTls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_up_or_says_nothing_is_not_told_to_have_tls_or_none() {
    for (manner, scheme) in [
        (Manner::HangsUp, "redis"),
        (Manner::HangsUp, "rediss"),
        (Manner::Silent, "rediss"),
    ] {
        let fake = FakeServer::start(manner).await;
        let url = fake.url().replacen("redis", scheme, 1);
        let redlock = quick().heartbeat_timeout(ms(200)).servers([url]).build().unwrap();
        eventually("it was tried twice", async || fake.visits() > 6).await;
        let reason = reason(&redlock, 0);
        assert!(
            !matches!(reason, Some(DownReason::NeedsTls | DownReason::LacksTls)),
            "{manner:?}: {reason:?}"
        );
    }
}
