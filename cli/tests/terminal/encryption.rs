//! Certificates, from the arguments or a file.

use crate::common::{Folder, assert_has, bare, failure, output, run};
use std::fs;
use test_support::{Certificates, ClientCertificate, RedisServer};

#[test]
fn certificates_are_taken_from_files() {
    let certificates = Certificates::new();
    let builder = RedisServer::builder().tls(&certificates, ClientCertificate::Needed);
    // Not every server is built with TLS.
    let Some(server) = builder.start_if_built_with_tls() else {
        return;
    };
    let folder = Folder::new();
    for (name, pem) in [
        ("ca", &certificates.authority),
        ("cert", &certificates.client.certificate),
        ("key", &certificates.client.key),
    ] {
        fs::write(folder.path(name), pem).unwrap();
    }
    let (url, ca, cert, key) = (server.url(), folder.path("ca"), folder.path("cert"), folder.path("key"));
    let options = ["--servers", &url, "--ca", &ca, "--cert", &cert, "--key", &key];
    let with = |more: &[&str]| output(bare(&[&options[..], more].concat()));
    let value = with(&["lock", "r", "--no-wait"]);
    with(&["unlock", "r", value.trim()]);

    failure(69, bare(&["--servers", &url, "--ca", &ca, "lock", "r", "--no-wait"]));
    let stderr = failure(69, bare(&["--servers", &url, "lock", "r", "--no-wait"]));
    assert_has(&stderr, "TLS failed");
    let stderr = failure(78, bare(&["--servers", &url, "--cert", &cert, "lock", "r"]));
    assert_has(&stderr, "a certificate and its key go together");

    let file = folder.path("locks.toml");
    let tls = format!("tls = {{ ca = {ca:?}, cert = {cert:?}, key = {key:?} }}");
    fs::write(&file, format!("servers = [{url:?}]\n{tls}")).unwrap();
    output(bare(&["--config", &file, "lock", "r", "--no-wait"]));
}

#[test]
fn a_certificate_is_pinned_or_not_checked_if_the_file_says_so() {
    let (certificates, other) = (Certificates::new(), Certificates::of(&["elsewhere"]));
    let start = |certificates| {
        let builder = RedisServer::builder().tls(certificates, ClientCertificate::Ignored);
        builder.start_if_built_with_tls()
    };
    // Not every server is built with TLS.
    let (Some(server), Some(elsewhere)) = (start(&certificates), start(&other)) else {
        return;
    };
    let folder = Folder::new();
    fs::write(folder.path("pinned.pem"), &certificates.server.certificate).unwrap();
    fs::write(folder.path("ca.pem"), &other.authority).unwrap();
    let file = folder.path("locks.toml");
    let with = |server: &RedisServer, tls: &str, words: &[&str]| {
        fs::write(&file, format!("servers = [{:?}]\ntls = {{ {tls} }}", server.url())).unwrap();
        run(bare(&[&["--config", &file], words].concat()))
    };
    let status = |server: &RedisServer, tls: &str| with(server, tls, &["status"]).0;
    assert_eq!(status(&server, "pinned = \"pinned.pem\""), 0);
    assert_eq!(status(&elsewhere, "pinned = \"pinned.pem\""), 69);
    assert_eq!(status(&elsewhere, "ca = \"ca.pem\""), 69);
    assert_eq!(status(&elsewhere, "ca = \"ca.pem\", any_name = true"), 0);
    assert_eq!(status(&server, "ca = \"ca.pem\", any_name = true"), 69);
    let any = "insecure_accept_any_certificate = true";
    assert_eq!((status(&server, any), status(&elsewhere, any)), (0, 0));

    assert_has(&with(&server, any, &["doctor"]).1, "whoever intercepts the connection");
    assert_has(
        &with(&server, "pinned = \"pinned.pem\"", &["doctor"]).1,
        "in a way that only the library knows",
    );
}
