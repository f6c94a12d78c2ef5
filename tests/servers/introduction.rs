//! How a connection is introduced: credentials, protocol and name.

use multiredlock::{Server, status::DownReason};

use crate::access::works;
use crate::support::{LONG, Proxy, RedisCluster, RedisServer, Reply, Ruling, client, eventually, is_down, name, quick};

/// Passwords that a line of words cannot carry.
fn passwords() -> Vec<String> {
    let printable: String = (' '..='~').collect();
    vec![
        "my secret".into(),
        "  ".into(),
        "\"".into(),
        "it's".into(),
        "a\"b 'c\\x".into(),
        printable,
        "pässwörd – 密码 🔑".into(),
        "line\r\nFLUSHALL\r\n".into(),
        "\n".into(),
        "\0 \u{1b}".into(),
        "0123456789abcde ".repeat(256),
    ]
}

fn ok(reply: &Reply) {
    assert_eq!(*reply, Reply::Text("OK".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_may_be_any_text() {
    let server = RedisServer::start();
    for password in passwords() {
        ok(&server.command(&["CONFIG", "SET", "requirepass", &password]));
        ok(&server.command(&["SET", "witness", "any"]));
        let typed = Server::parse(&server.url()).unwrap().password(&password);
        works(&client([typed]), 1).await;
        assert_eq!(server.get("witness").as_deref(), Some("any"), "{password:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_have_any_password() {
    let server = RedisServer::start();
    for password in passwords() {
        let rule = format!(">{password}");
        ok(&server.command(&["ACL", "SETUSER", "locker", "reset", "on", &rule, "~*", "&*", "+@all"]));
        let typed = Server::parse(&server.url())
            .unwrap()
            .username("locker")
            .password(&password);
        works(&client([typed]), 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_begins_no_other_command() {
    let server = RedisServer::builder().password("right").start();
    ok(&server.command(&["ACL", "SETUSER", "open", "on", "nopass", "~*", "+@all"]));
    ok(&server.command(&["SET", "witness", "any"]));
    let sly = "x\r\nAUTH open any\r\nFLUSHALL\r\n";
    let typed = Server::parse(&server.url()).unwrap().password(sly);
    let redlock = client([typed]);
    is_down(&redlock, 0, |reason| matches!(reason, DownReason::Auth(_))).await;
    assert_eq!(server.get("witness").as_deref(), Some("any"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_may_have_any_password() {
    let cluster = RedisCluster::start(2);
    for password in ["my secret".to_owned(), passwords().concat()] {
        for node in cluster.iter() {
            ok(&node.command(&["CONFIG", "SET", "requirepass", &password]));
        }
        let typed = Server::parse(&cluster.url()).unwrap().password(&password);
        works(&client([typed]), 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_their_master_may_have_any_password() {
    let master = RedisServer::start();
    let sentinel = RedisServer::builder().sentinel_of("locks", &master).start();
    for (hers, its) in [("my secret", "it's"), ("line\r\nend", "\"open sesame\"")] {
        ok(&master.command(&["CONFIG", "SET", "requirepass", its]));
        let rule = format!(">{hers}");
        ok(&sentinel.command(&["ACL", "SETUSER", "default", "resetpass", &rule]));
        let address = sentinel.address();
        let typed = Server::sentinel("locks", [(address.ip().to_string(), address.port())])
            .password(its)
            .sentinel_password(hers);
        works(&client([typed]), 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_the_server_does_not_ask_for_does_no_harm() {
    let server = RedisServer::start();
    works(&client([server.url_as(":any")]), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_hello_is_spoken_to_in_the_old_protocol() {
    let server = RedisServer::start();
    for words in [
        "ERR unknown command 'HELLO'",
        "ERR unsupported command 'hello'",
        "ERR Unknown Command",
        "ERR syntax error",
        "ERR Protocol version is not supported",
        "NOPROTO unsupported protocol version",
        "ERR invalid command",
        "ERR command 'HELLO' is disabled",
        "NOPERM this user has no permissions to run the 'hello' command",
    ] {
        let proxy = Proxy::start(&server, move |words_of_command| {
            if name(words_of_command) == "HELLO" {
                Ruling::Says(format!("-{words}\r\n"))
            } else {
                Ruling::Pass
            }
        })
        .await;
        works(&client([proxy.url()]), 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_up_at_hello_is_spoken_to_in_the_old_protocol() {
    let server = RedisServer::start();
    let proxy = Proxy::start(&server, |words| match &*name(words) {
        "HELLO" => Ruling::HangsUp,
        _ => Ruling::Pass,
    })
    .await;
    // fred takes the end of a connection for an answer, and sometimes does not notice it until later.
    for _ in 0..20 {
        let redlock = quick().reconnect(LONG, LONG).servers([proxy.url()]).build().unwrap();
        works(&redlock, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_credentials_at_hello_is_told_of_as_such() {
    let server = RedisServer::start();
    for words in [
        "NOAUTH HELLO must be called with AUTH",
        "WRONGPASS invalid username-password pair",
    ] {
        let proxy = Proxy::start(&server, move |command| match &*name(command) {
            "HELLO" => Ruling::Says(format!("-{words}\r\n")),
            _ => Ruling::Pass,
        })
        .await;
        let redlock = client([proxy.url()]);
        is_down(&redlock, 0, |reason| matches!(reason, DownReason::Auth(_))).await;
    }
}

/// The names of the connections to a server.
fn names(server: &RedisServer) -> Vec<String> {
    let clients = server.clients();
    let name = |client: &String| {
        client
            .split(' ')
            .find_map(|field| field.strip_prefix("name=").map(str::to_owned))
    };
    clients.iter().filter_map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_the_name_of_its_client() {
    let old = RedisServer::builder().line("rename-command HELLO \"\"").start();
    let few = "on nopass ~* -@all +ping +info +eval +evalsha +set +get +pttl +pexpire +del";
    let bare = RedisServer::builder().user("locker", few).start();
    let node = RedisCluster::start(2);
    let server = RedisServer::start();
    let urls = [old.url(), bare.url_as("locker"), node.url(), server.url()];
    let redlock = quick().id("web 3 é").servers(urls).build().unwrap();
    works(&redlock, 4).await;
    for server in [&old, &bare, &node[0], &node[1], &server] {
        eventually("the connection has its name", async || {
            names(server).iter().any(|name| name == "web_3__")
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_is_asked_under_the_name_of_the_client() {
    let master = RedisServer::start();
    let sentinel = RedisServer::builder().sentinel_of("locks", &master).start();
    let (told, heard) = std::sync::mpsc::channel();
    let proxy = Proxy::start(&sentinel, move |words| {
        let _ = told.send(words.concat());
        Ruling::Pass
    })
    .await;
    let url = proxy.url().replacen("redis://", "redis-sentinel://", 1);
    let url = format!("{url}&sentinelServiceName=locks");
    let redlock = quick().id("web-3").servers([url]).build().unwrap();
    works(&redlock, 1).await;
    assert!(heard.try_iter().any(|command| command == b"CLIENTSETNAMEweb-3"));
    assert!(names(&master).iter().any(|name| name == "web-3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_not_be_pinged_lets_us_in() {
    let server = RedisServer::start();
    ok(&server.command(&["ACL", "SETUSER", "default", "-ping"]));
    works(&client([server.url()]), 1).await;
    let renamed = RedisServer::builder().line("rename-command PING \"\"").prepare();
    // The fixture asks with a PING whether it is ready.
    renamed.spawn_unasked();
    works(&client([renamed.url()]), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_a_server_repeats_is_not_told() {
    let server = RedisServer::start();
    for (command, words) in [
        (
            "HELLO",
            "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'hunter2' ",
        ),
        (
            "AUTH",
            "ERR unknown command 'AUTH', with args beginning with: 'hunter2' ",
        ),
        ("AUTH", "ERR what is hunter2?"),
        ("AUTH", "WRONGPASS not hunter2"),
    ] {
        let proxy = Proxy::start(&server, move |asked| match &*name(asked) {
            asked if asked == command => Ruling::Says(format!("-{words}\r\n")),
            "HELLO" | "AUTH" => Ruling::Says("-ERR no\r\n".to_owned()),
            _ => Ruling::Pass,
        })
        .await;
        let url = proxy.url().replacen("://", "://:hunter2@", 1);
        let redlock = client([url]);
        is_down(&redlock, 0, |reason| *reason != DownReason::NotYet).await;
        let told = format!("{:?}", redlock.servers());
        assert!(!told.contains("hunter"), "{told}");
    }
}
