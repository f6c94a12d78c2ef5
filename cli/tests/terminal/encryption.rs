//! Certificates, from the arguments or a file.

use crate::common::{Folder, bare, run};
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
    let with = |more: &[&str]| run(bare(&[&options[..], more].concat()));
    let (code, value, stderr) = with(&["lock", "r", "--no-wait"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(with(&["unlock", "r", value.trim()]).0, 0);

    let (code, _, stderr) = run(bare(&["--servers", &url, "--ca", &ca, "lock", "r", "--no-wait"]));
    assert_eq!(code, 69, "{stderr}");
    let (code, _, stderr) = run(bare(&["--servers", &url, "lock", "r", "--no-wait"]));
    assert_eq!(code, 69);
    assert!(stderr.contains("TLS failed"), "{stderr}");
    let (code, _, stderr) = run(bare(&["--servers", &url, "--cert", &cert, "lock", "r"]));
    assert_eq!(code, 78);
    assert!(stderr.contains("a certificate and its key go together"), "{stderr}");

    let file = folder.path("locks.toml");
    fs::write(
        &file,
        format!("servers = [{url:?}]\ntls = {{ ca = {ca:?}, cert = {cert:?}, key = {key:?} }}"),
    )
    .unwrap();
    let (code, _, stderr) = run(bare(&["--config", &file, "lock", "r", "--no-wait"]));
    assert_eq!(code, 0, "{stderr}");
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

    let (_, told, stderr) = with(&server, any, &["doctor"]);
    assert!(told.contains("whoever intercepts the connection"), "{told}{stderr}");
    let (_, told, stderr) = with(&server, "pinned = \"pinned.pem\"", &["doctor"]);
    assert!(told.contains("in a way that only the library knows"), "{told}{stderr}");
}
