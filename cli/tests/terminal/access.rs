//! Users and passwords, from the arguments or a file.

use crate::common::{Folder, assert_has, assert_lacks, bare, output, run};
use std::fs;
use test_support::RedisServer;

#[test]
fn a_user_and_a_password_of_the_file_are_for_servers_that_name_none() {
    let builder = RedisServer::builder().user("default", "off");
    let server = builder.user("locks", "on >secret ~* &* +@all").start();
    let folder = Folder::new();
    let file = folder.path("locks.toml");
    let status = |servers: &str, more: &str| {
        fs::write(&file, format!("servers = [\"{servers}\"]\n{more}")).unwrap();
        run(bare(&["--config", &file, "status"]))
    };
    let credentials = "username = \"locks\"\npassword = \"secret\"";
    assert_eq!(status(&server.url(), credentials).0, 0);
    assert_eq!(status(&server.url_as("locks:secret"), "").0, 0);
    let (code, told, stderr) = status(&server.url_as("locks:wrong"), credentials);
    assert_eq!(code, 69);
    assert_has(&told, "down: not authenticated");
    assert_lacks(&(told + &stderr), "wrong");
}

#[test]
fn a_comma_in_a_password_does_not_end_the_address() {
    let server = || RedisServer::builder().user("locks", "on >se,cret ~* &* +@all").start();
    let servers = [server(), server(), RedisServer::start()];
    let list = format!(
        "{},{},{}",
        servers[0].url_as("locks:se,cret"),
        servers[1].url_as("locks:se%2Ccret"),
        servers[2].address()
    );
    let told = output(bare(&["--servers", &list, "status"]));
    assert!(told.starts_with("connected: 3 of 3 servers can vote"), "{told}");
}

#[test]
fn no_part_of_a_password_with_a_comma_is_printed() {
    for list in [
        "redis://u:12,secret@h",
        "redis://u:p@w,secret@h",
        "redis-sentinel://127.0.0.1:1?sentinelServiceName=s&sentinelPassword=p,secret",
        "redis://u:secret,h",
        "redis://u:secret",
    ] {
        for arguments in [&["status"][..], &["doctor"], &["lock", "r", "--no-wait"]] {
            let (code, told, stderr) = run(bare(&[&["--servers", list], arguments].concat()));
            assert_eq!(code, 78, "{told}{stderr}");
            assert_lacks(&(told + &stderr), "secret");
        }
    }
}
