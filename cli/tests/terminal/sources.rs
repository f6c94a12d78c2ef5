//! Where the settings come from when several places have them: arguments, the environment, a file.

use crate::common::{
    Folder, assert_has, assert_lacks, bare, failure, multiredlock, nothing_is_left_on, output, output_on, run,
};
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
    let exported = std::slice::from_ref(&exported);
    let with = |arguments: &[&str]| {
        let mut command = multiredlock(exported, &[&["--config", file.as_str()], arguments].concat());
        command.env("MULTIREDLOCK_KEY_PREFIX", "environment:");
        command.env("MULTIREDLOCK_ID", "environment");
        output(command)
    };
    let value = with(&["lock", "r", "--no-wait"]);
    assert!(value.starts_with("file_"), "{value}");
    nothing_is_left_on(exported);
    is_told_of(&with(&["status"]), &named, &exported[0]);
    let told = with(&["status", "r"]);
    assert!(told.starts_with("`r` is held by file since "), "{told}");

    let own = ["--id", "argument", "--key-prefix", "argument:"];
    let value = with(&[&own, &["lock", "r", "--no-wait"][..]].concat());
    assert!(value.starts_with("argument_"), "{value}");
}

/// Checks that it is about this server alone.
fn is_told_of(told: &str, server: &RedisServer, other: &RedisServer) {
    assert_has(told, &server.address().to_string());
    assert_lacks(told, &other.address().to_string());
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
        is_told_of(&output(bare(&arguments)), &given, &named);
    }
}

#[test]
fn the_credentials_of_a_file_go_to_no_server_that_it_does_not_name() {
    let (named, exported) = (with_a_user(), RedisServer::start());
    let folder = Folder::new();
    let file = file(&folder, &named);
    let mut command = multiredlock(std::slice::from_ref(&exported), &["status"]);
    command.env("MULTIREDLOCK_CONFIG", &file);
    assert_has(&output(command), &exported.address().to_string());

    // A file that names none has its credentials for those that are named elsewhere.
    for servers in ["", "servers = []\n"] {
        fs::write(&file, format!("{servers}username = \"locks\"\npassword = \"secret\"")).unwrap();
        output_on(std::slice::from_ref(&named), &["--config", &file, "status"]);
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
        command
    };
    let tls = "ca = \"ca.pem\", cert = \"./client.pem\", key = \"client.key\"";
    let absolute = folder.path("locks.toml");
    let stderr = failure(78, status(tls, &elsewhere, &["--config", &absolute]));
    assert_has(&stderr, &format!("{}: ", folder.path("client.key")));
    output(status(tls, &elsewhere, &["--config", &absolute, "--key", "client.key"]));

    fs::write(folder.path("client.key"), "").unwrap();
    output(status(tls, &elsewhere, &["--config", &absolute]));
    output(status(tls, &folder, &["--config", "locks.toml"]));
    output(status(tls, &folder, &["--config", "./locks.toml"]));
    let tls = format!("ca = {:?}", folder.path("ca.pem"));
    output(status(&tls, &elsewhere, &["--config", &absolute]));
}

#[test]
fn no_value_of_the_file_is_printed() {
    let folder = Folder::new();
    let file = folder.path("locks.toml");
    let no_list = "invalid type: string, expected a sequence";
    for (text, expected) in [
        ("servers = \"redis://:hunter2@h\"", no_list),
        ("groups = [\"redis://:hunter2@h, expected\"]", no_list),
        (
            "servers = [\"h\"]\npassword = 12345678",
            "line 2: invalid type: integer, expected a string",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let (code, told, stderr) = run(bare(&["--config", &file, "status"]));
        assert_eq!(code, 78, "{stderr}");
        assert_has(&stderr, expected);
        assert_lacks(&(told + &stderr), "hunter2");
        assert_lacks(&stderr, "12345678");
    }
}
