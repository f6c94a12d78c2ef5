//! How `run` ends a command whose lock is lost.

use crate::{
    common::{Folder, multiredlock, plain, servers, start, start_on},
    run::{Written, ends, eventually_gone, forget_all, is_gone, signal, text},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};
use test_support::{RedisServer, block_until};

#[test]
fn each_process_is_asked_to_end_once() {
    let servers = servers(3);
    let folder = Folder::new();
    let log = folder.path("log");
    // Four processes of the group, and one that left it.
    let counts = format!("trap 'echo $1 TERM >> {log}' TERM; echo $1 up >> {log}; while :; do sleep 0.01; done");
    let file = folder.path("counts");
    std::fs::write(&file, counts).unwrap();
    let script = format!("for i in 1 2 3; do sh {file} $i & done; setsid sh {file} 4 & . {file}");
    let arguments = [
        "run", "r", "--ttl", "6s", "--grace", "1s", "--", "sh", "-c", &script, "sh", "5",
    ];
    let mut child = start_on(&servers, &arguments);
    folder.lines("log", 5);
    forget_all(&servers);
    assert_eq!(ends(&mut child).code(), Some(79), "{}", text(child.stderr.take()));
    let mut signals = BTreeMap::new();
    for line in folder.lines("log", 10) {
        *signals.entry(line).or_insert(0) += 1;
    }
    let once = (1..=5).flat_map(|i| [(format!("{i} TERM"), 1), (format!("{i} up"), 1)]);
    assert_eq!(signals, once.collect());
}

/// A command of root, which may not end processes of other users, and whose child belongs to one. None where the tests are
/// not run by root, so that there is no such child.
fn with_a_child_of_another_user(folder: &Folder) -> Option<(Vec<String>, String)> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("only root can have a child of another user");
        return None;
    }
    let set = ["setpriv", "--bounding-set=-kill", "--inh-caps=-kill"];
    let (ids, other) = (folder.path("ids"), folder.path("other"));
    let script = format!(
        "setpriv --reuid=65534 --clear-groups sleep 1000 2>/dev/null & echo $! >> {other};
        sleep 1000 & echo $! >> {ids}; wait"
    );
    Some((set.map(Into::into).to_vec(), script))
}

/// Ends what the command could not.
struct Survivor(Pid);

impl Drop for Survivor {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

fn start_under(set: &[String], command: &assert_cmd::Command) -> Child {
    let mut start = std::process::Command::new(&set[0]);
    start
        .args(&set[1..])
        .arg(command.get_program())
        .args(command.get_args());
    start.envs(
        plain(command)
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    start.spawn().unwrap()
}

#[test]
fn a_process_of_another_user_that_goes_on_is_named() {
    let servers = servers(3);
    for json in [false, true] {
        let folder = Folder::new();
        let Some((set, script)) = with_a_child_of_another_user(&folder) else {
            return;
        };
        let mut arguments = vec!["run", "r", "--ttl", "6s", "--grace", "300ms", "--", "sh", "-c", &script];
        if json {
            arguments.insert(0, "--json");
        }
        let mut child = start_under(&set, &multiredlock(&servers, &arguments));
        let other = Survivor(folder.ids("other", 1)[0]);
        let ids = folder.ids("ids", 1);
        // So that it is another user's by now.
        sleep(Duration::from_millis(300));
        forget_all(&servers);
        let status = ends(&mut child);
        let told = text(child.stderr.take());
        assert_eq!(status.code(), Some(77), "{told}");
        assert!(!is_gone(other.0));
        assert!(ids.iter().all(|id| is_gone(*id)), "what can be ended is");
        let last = told.lines().last().unwrap();
        let expected = format!(
            "process {} (`sleep` of nobody) could not be ended and may go on without the lock: lost `r`: ",
            other.0
        );
        assert!(last.contains(&expected), "{told}");
        assert_eq!(last.contains(r#""error":"not_permitted""#), json, "{told}");
    }
}

#[test]
fn a_watchdog_names_a_process_that_it_cannot_kill() {
    let servers = servers(3);
    let folder = Folder::new();
    let Some((set, script)) = with_a_child_of_another_user(&folder) else {
        return;
    };
    let mut child = start_under(&set, &multiredlock(&servers, &["run", "r", "--", "sh", "-c", &script]));
    let other = Survivor(folder.ids("other", 1)[0]);
    let ids = folder.ids("ids", 1);
    sleep(Duration::from_millis(300));
    signal(&child, Signal::SIGKILL);
    eventually_gone(&ids);
    ends(&mut child);
    let told = text(child.stderr.take());
    assert!(!is_gone(other.0));
    let expected = format!(
        "process {} (`sleep` of nobody) could not be ended and may go on without the lock: multiredlock is gone",
        other.0
    );
    assert!(told.contains(&expected), "{told}");
}

#[test]
fn a_signal_that_cannot_be_handed_on_is_told() {
    let servers = servers(3);
    let folder = Folder::new();
    let Some((set, _)) = with_a_child_of_another_user(&folder) else {
        return;
    };
    let script = format!(
        "echo $$ >> {}; exec setpriv --reuid=65534 --clear-groups sleep 1000 2>/dev/null",
        folder.path("ids")
    );
    let mut child = start_under(&set, &multiredlock(&servers, &["run", "r", "--", "sh", "-c", &script]));
    let other = Survivor(folder.ids("ids", 1)[0]);
    sleep(Duration::from_millis(300));
    signal(&child, Signal::SIGTERM);
    sleep(Duration::from_millis(300));
    assert_eq!(child.try_wait().unwrap(), None);
    drop(other);
    assert_eq!(ends(&mut child).code(), Some(128 + 9));
    let told = text(child.stderr.take());
    assert!(
        told.contains("SIGTERM could not be sent to the command: Operation not permitted"),
        "{told}"
    );
}

#[test]
fn a_command_that_ended_by_itself_and_whose_lock_is_gone_says_both() {
    let servers = servers(3);
    let folder = Folder::new();
    let (ids, go) = (folder.path("ids"), folder.path("go"));
    let script = format!("echo $$ >> {ids}; while [ ! -e {go} ]; do sleep 0.01; done; exit 5");
    let mut child = start_on(
        &servers,
        &["--json", "run", "r", "--ttl", "60s", "--", "sh", "-c", &script],
    );
    let ids = folder.ids("ids", 1);
    // So that the servers tell of its removal.
    sleep(Duration::from_millis(300));
    // The end of the command and the loss are both there when it goes on.
    signal(&child, Signal::SIGSTOP);
    for server in &servers {
        server.command(&["DEL", "r"]);
    }
    std::fs::write(&go, "").unwrap();
    eventually_gone(&ids);
    signal(&child, Signal::SIGCONT);
    says_both(&mut child, "its lock was gone: ");
}

#[test]
fn a_command_that_ended_by_itself_before_its_lock_did_was_not_ended() {
    let servers = servers(3);
    let folder = Folder::new();
    let (ids, go) = (folder.path("ids"), folder.path("go"));
    let script = format!("echo $$ >> {ids}; while [ ! -e {go} ]; do sleep 0.01; done; exit 5");
    // Which of both is noticed first is chance.
    let children: Vec<Child> = (0..8)
        .map(|i| {
            let resource = format!("r{i}");
            start_on(
                &servers,
                &["--json", "run", &resource, "--ttl", "1s", "--", "sh", "-c", &script],
            )
        })
        .collect();
    let ids = folder.ids("ids", children.len());
    for child in &children {
        signal(child, Signal::SIGSTOP);
    }
    std::fs::write(&go, "").unwrap();
    eventually_gone(&ids);
    sleep(Duration::from_millis(1_500));
    for mut child in children {
        signal(&child, Signal::SIGCONT);
        says_both(&mut child, "its lock was gone: lost ");
    }
}

fn says_both(child: &mut Child, why: &str) {
    let status = ends(child);
    let told = text(child.stderr.take());
    assert_eq!(status.code(), Some(79), "{told}");
    let last: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!(last["command_exit_code"], 5, "{told}");
    let message = last["message"].as_str().unwrap();
    let both = format!("the command ended by itself with exit code 5, but {why}");
    assert!(message.starts_with(&both), "{told}");
}

#[test]
fn servers_that_let_no_lock_be_renewed_are_named() {
    let servers = servers(3);
    let mut child = start_on(&servers, &["run", "my-job", "--ttl", "9s", "--", "sleep", "1000"]);
    let holds = |server: &RedisServer| !server.keys().is_empty();
    block_until("each server holds the lock", || servers.iter().all(holds));
    servers[1].freeze();
    servers[2].freeze();
    let status = ends(&mut child);
    let told = text(child.stderr.take());
    assert_eq!(status.code(), Some(79), "{told}");
    let problem = "the lock on `my-job` could not be renewed in time (";
    assert!(told.contains(problem), "{told}");
    for server in &servers[1..] {
        assert!(told.contains(&format!("{}: no answer ", server.address())), "{told}");
    }
    assert!(!told.contains(&servers[0].address().to_string()), "{told}");
}

#[test]
fn without_proc_no_command_is_started() {
    let servers = servers(3);
    let unshare = if nix::unistd::geteuid().is_root() { "-m" } else { "-Urm" };
    let without = |command: &str| {
        let script = format!("mount -t tmpfs none /proc && {command}");
        let mut start = plain(&multiredlock(&servers, &[]));
        let program = start.get_program().to_owned();
        let variables: Vec<_> = start
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        start = std::process::Command::new("unshare");
        start
            .envs(variables)
            .env("M", program)
            .args([unshare, "sh", "-c", &script]);
        start.output().unwrap()
    };
    if !without("true").status.success() {
        eprintln!("/proc cannot be hidden here");
        return;
    }
    let output = without("exec $M run r -- echo started");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(71), 0), "{told}");
    assert!(told.contains("/proc"), "{told}");
    assert!(servers.iter().all(|server| server.keys().is_empty()));
}

#[test]
#[cfg(debug_assertions)]
fn a_stop_right_after_the_start_does_not_leave_the_command_unprotected() {
    let servers = servers(3);
    let folder = Folder::new();
    let ids = folder.path("ids");
    let script = format!("sleep 1000 & echo $! >> {ids}; echo $$ >> {ids}; wait");
    let mut command = multiredlock(&servers, &["run", "r", "--ttl", "2s", "--", "sh", "-c", &script]);
    command.env("MULTIREDLOCK_TEST_STOP", "1");
    let mut child = start(&command);
    eventually_gone(&folder.ids("ids", 2));
    signal(&child, Signal::SIGCONT);
    assert_eq!(ends(&mut child).code(), Some(79), "{}", text(child.stderr.take()));
}
