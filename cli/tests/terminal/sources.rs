//! Where the settings come from when several places have them: arguments, the environment, a file.

use crate::common::{Folder, bare, multiredlock, run, run_on};
use std::fs;
use test_support::RedisServer;

/// A server with a user that other servers do not know, so that these are down for a client with the user's credentials.
fn with_a_user() -> RedisServer {
    let builder = RedisServer::builder().user("default", "off");
    builder.user("locks", "on >secret ~* &* +@all").start()
}

/// A file that names a server, and has credentials and more for it.
fn file(folder: &Folder, server: &RedisServer) -> String {
    let file = folder.path("locks.toml");
    let text = format!(
        "servers = [{:?}]\nusername = \"locks\"\npassword = \"secret\"\nkey_prefix = \"file:\"\nid = \"file\"",
        server.url()
    );
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_file_that_is_given_as_an_argument_goes_before_the_environment() {
    let (named, exported) = (with_a_user(), RedisServer::start());
    let folder = Folder::new();
    let file = file(&folder, &named);
    let with = |arguments: &[&str]| {
        let mut command = multiredlock(
            std::slice::from_ref(&exported),
            &[&["--config", file.as_str()], arguments].concat(),
        );
        command.env("MULTIREDLOCK_KEY_PREFIX", "environment:");
        command.env("MULTIREDLOCK_ID", "environment");
        run(command)
    };
    let (code, value, stderr) = with(&["lock", "r", "--no-wait"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(value.starts_with("file_"), "{value}");
    assert_eq!(exported.keys(), [""; 0]);
    let (code, told, stderr) = with(&["status"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        told.contains(&named.address().to_string()) && !told.contains(&exported.address().to_string()),
        "{told}"
    );
    let (_, told, _) = with(&["status", "r"]);
    assert!(told.starts_with("`r` is held by file since "), "{told}");

    let (code, value, stderr) = with(&[
        "--id",
        "argument",
        "--key-prefix",
        "argument:",
        "lock",
        "r",
        "--no-wait",
    ]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(value.starts_with("argument_"), "{value}");
}

#[test]
fn servers_that_are_given_as_an_argument_go_before_a_file_wherever_they_stand() {
    let (named, given) = (with_a_user(), RedisServer::start());
    let folder = Folder::new();
    let file = file(&folder, &named);
    let servers = given.url();
    for arguments in [
        ["--config", &file, "--servers", &servers, "status"],
        ["status", "--config", &file, "--servers", &servers],
        ["--config", &file, "status", "--servers", &servers],
        ["--servers", &servers, "status", "--config", &file],
    ] {
        let (code, told, stderr) = run(bare(&arguments));
        assert_eq!(code, 0, "{told}{stderr}");
        assert!(
            told.contains(&given.address().to_string()) && !told.contains(&named.address().to_string()),
            "{told}"
        );
    }
}

#[test]
fn the_credentials_of_a_file_go_to_no_server_that_it_does_not_name() {
    let (named, exported) = (with_a_user(), RedisServer::start());
    let folder = Folder::new();
    let file = file(&folder, &named);
    let mut command = multiredlock(std::slice::from_ref(&exported), &["status"]);
    command.env("MULTIREDLOCK_CONFIG", &file);
    let (code, told, stderr) = run(command);
    assert_eq!(code, 0, "{told}{stderr}");
    assert!(told.contains(&exported.address().to_string()), "{told}");

    // A file that names none has its credentials for those that are named elsewhere.
    fs::write(&file, "username = \"locks\"\npassword = \"secret\"").unwrap();
    for servers in ["", "servers = []\n"] {
        fs::write(&file, format!("{servers}username = \"locks\"\npassword = \"secret\"")).unwrap();
        let (code, told, stderr) = run_on(std::slice::from_ref(&named), &["--config", &file, "status"]);
        assert_eq!(code, 0, "{told}{stderr}");
    }
}

#[test]
fn the_paths_in_a_file_begin_in_its_folder_and_those_of_arguments_where_we_are() {
    let server = RedisServer::start();
    let (folder, elsewhere) = (Folder::new(), Folder::new());
    fs::write(folder.path("ca.pem"), "").unwrap();
    fs::write(folder.path("client.pem"), "").unwrap();
    fs::write(elsewhere.path("client.key"), "").unwrap();
    let status = |tls: &str, from: &Folder, arguments: &[&str]| {
        let text = format!("servers = [{:?}]\ntls = {{ {tls} }}", server.url());
        fs::write(folder.path("locks.toml"), text).unwrap();
        let mut command = bare(&[arguments, &["status"]].concat());
        command.current_dir(from.path(""));
        run(command)
    };
    let tls = "ca = \"ca.pem\", cert = \"./client.pem\", key = \"client.key\"";
    let absolute = folder.path("locks.toml");
    let (code, _, stderr) = status(tls, &elsewhere, &["--config", &absolute]);
    assert_eq!(code, 78);
    assert!(stderr.contains(&format!("{}: ", folder.path("client.key"))), "{stderr}");
    let (code, _, stderr) = status(tls, &elsewhere, &["--config", &absolute, "--key", "client.key"]);
    assert_eq!((code, stderr.as_str()), (0, ""));

    fs::write(folder.path("client.key"), "").unwrap();
    for (from, config) in [
        (&elsewhere, absolute.as_str()),
        (&folder, "locks.toml"),
        (&folder, "./locks.toml"),
    ] {
        let (code, _, stderr) = status(tls, from, &["--config", config]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{config}");
    }
    let tls = format!("ca = {:?}", folder.path("ca.pem"));
    let (code, _, stderr) = status(&tls, &elsewhere, &["--config", &absolute]);
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[test]
fn no_value_of_the_file_is_printed() {
    let folder = Folder::new();
    let file = folder.path("locks.toml");
    for (text, expected) in [
        (
            "servers = \"redis://:hunter2@h\"",
            "invalid type: string, expected a sequence",
        ),
        (
            "groups = [\"redis://:hunter2@h, expected\"]",
            "invalid type: string, expected a sequence",
        ),
        (
            "servers = [\"h\"]\npassword = 12345678",
            "line 2: invalid type: integer, expected a string",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let (code, told, stderr) = run(bare(&["--config", &file, "status"]));
        assert_eq!(code, 78, "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
        assert!(
            !format!("{told}{stderr}").contains("hunter2") && !stderr.contains("12345678"),
            "{stderr}"
        );
    }
}
