//! How `run` ends a command whose lock is lost.

use crate::{
    common::{
        Folder, assert_has, assert_lacks, multiredlock, nothing_is_left_on, plain, servers, start, start_on,
        start_plain,
    },
    job::{FAMILY, Job, ends, eventually_gone, forget_all, is_gone, signal},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};
use test_support::{RedisServer, block_until};

#[test]
fn each_process_is_asked_to_end_once() {
    let servers = servers(3);
    // Four processes of the group, and one that left it.
    let script =
        "echo 'trap \"echo $1 TERM >> $D/log\" TERM; echo $1 up >> $D/log; while :; do sleep 0.01; done' > $D/counts
        for i in 1 2 3; do sh $D/counts $i & done; setsid sh $D/counts 4 & set 5; . $D/counts";
    let mut job = Job::starts(&servers, "--ttl 6s --grace 1s", script);
    job.folder.lines("log", 5);
    forget_all(&servers);
    job.ends(79);
    let mut signals = BTreeMap::new();
    for line in job.folder.lines("log", 10) {
        *signals.entry(line).or_insert(0) += 1;
    }
    let once = (1..=5).flat_map(|i| [(format!("{i} TERM"), 1), (format!("{i} up"), 1)]);
    assert_eq!(signals, once.collect());
}

/// Ends what the command could not.
struct Survivor(Pid);

impl Drop for Survivor {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

/// Two processes of a command, of which the second is of another user.
const OF_ANOTHER_USER: &str = "sleep 1000 & echo $! >> $D/ids
    setpriv --reuid=65534 --clear-groups sleep 1000 2>/dev/null & echo $! >> $D/other; wait";

/// A command of root, which may not end processes of other users. None where the tests are not run by root, so that it can
/// have no child of another user.
fn start_without_rights(servers: &[RedisServer], options: &str, script: &str) -> Option<Job> {
    if !geteuid().is_root() {
        eprintln!("only root can have a child of another user");
        return None;
    }
    let start = |command: &assert_cmd::Command| {
        let mut start = Command::new("setpriv");
        start.args(["--bounding-set=-kill", "--inh-caps=-kill"]);
        start.arg(command.get_program()).args(command.get_args());
        let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        start.envs(variables).stdin(Stdio::null()).stdout(Stdio::null());
        start.stderr(Stdio::piped()).spawn().unwrap()
    };
    Some(Job::starts_by(servers, options, script, start))
}

/// Waits until a process is another user's, as it is soon.
fn of_another_user(job: &Job, name: &str) -> Survivor {
    let other = Survivor(job.folder.ids(name, 1)[0]);
    sleep(Duration::from_millis(300));
    other
}

#[test]
fn a_process_of_another_user_that_goes_on_is_named() {
    let servers = servers(3);
    for json in ["", "--json"] {
        let options = format!("{json} --ttl 6s --grace 300ms");
        let Some(mut job) = start_without_rights(&servers, &options, OF_ANOTHER_USER) else {
            return;
        };
        let other = of_another_user(&job, "other");
        let ids = job.folder.ids("ids", 1);
        forget_all(&servers);
        let told = job.ends(77);
        assert!(!is_gone(other.0));
        assert!(ids.iter().all(|id| is_gone(*id)), "what can be ended is");
        let last = told.lines().last().unwrap();
        let goes_on = "could not be ended and may go on without the lock: lost the lock on `r`: ";
        assert_has(last, &format!("process {} (`sleep` of nobody) {goes_on}", other.0));
        assert_eq!(last.contains(r#""error":"not_permitted""#), json == "--json", "{told}");
    }
}

#[test]
fn a_watchdog_names_a_process_that_it_cannot_kill() {
    let servers = servers(3);
    let Some(mut job) = start_without_rights(&servers, "", OF_ANOTHER_USER) else {
        return;
    };
    let other = of_another_user(&job, "other");
    let ids = job.folder.ids("ids", 1);
    job.signal(Signal::SIGKILL);
    eventually_gone(&ids);
    let told = job.ends(128 + 9);
    assert!(!is_gone(other.0));
    let goes_on = "could not be ended and may go on without the lock: multiredlock is gone";
    assert_has(&told, &format!("process {} (`sleep` of nobody) {goes_on}", other.0));
}

#[test]
fn a_signal_that_cannot_be_handed_on_is_told() {
    let servers = servers(3);
    let script = "echo $$ >> $D/ids; exec setpriv --reuid=65534 --clear-groups sleep 1000 2>/dev/null";
    let Some(mut job) = start_without_rights(&servers, "", script) else {
        return;
    };
    let other = of_another_user(&job, "ids");
    job.signal(Signal::SIGTERM);
    sleep(Duration::from_millis(300));
    assert_eq!(job.child.try_wait().unwrap(), None);
    drop(other);
    let told = job.ends(128 + 9);
    assert_has(
        &told,
        "SIGTERM could not be sent to the command: Operation not permitted",
    );
}

/// A command that ends by itself once there is a file.
const ENDS_BY_ITSELF: &str = "echo $$ >> $D/ids; while [ ! -e $D/go ]; do sleep 0.01; done; exit 5";

#[test]
fn a_command_that_ended_by_itself_and_whose_lock_is_gone_says_both() {
    let servers = servers(3);
    let mut job = Job::starts(&servers, "--json --ttl 60s", ENDS_BY_ITSELF);
    let ids = job.folder.ids("ids", 1);
    // So that the servers tell of its removal.
    sleep(Duration::from_millis(300));
    // The end of the command and the loss are both there when it goes on.
    job.signal(Signal::SIGSTOP);
    for server in &servers {
        server.command(&["DEL", "r"]);
    }
    fs::write(job.folder.path("go"), "").unwrap();
    eventually_gone(&ids);
    job.signal(Signal::SIGCONT);
    says_both(&mut job.child, "its lock was gone: ");
}

#[test]
fn a_command_that_ended_by_itself_before_its_lock_did_was_not_ended() {
    let servers = servers(3);
    let folder = Folder::new();
    // Which of both is noticed first is chance.
    let children: Vec<Child> = (0..8)
        .map(|i| {
            let mut command = multiredlock(&servers, &["--json", "run", "--ttl", "1s", &format!("r{i}")]);
            command
                .args(["--", "sh", "-c", ENDS_BY_ITSELF])
                .env("D", folder.path(""));
            start(&command)
        })
        .collect();
    let ids = folder.ids("ids", children.len());
    for child in &children {
        signal(child, Signal::SIGSTOP);
    }
    fs::write(folder.path("go"), "").unwrap();
    eventually_gone(&ids);
    sleep(Duration::from_millis(1_500));
    for mut child in children {
        signal(&child, Signal::SIGCONT);
        says_both(&mut child, "its lock was gone: lost ");
    }
}

fn says_both(child: &mut Child, why: &str) {
    let told = ends(child, 79);
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
    servers[1..].iter().for_each(RedisServer::freeze);
    let told = ends(&mut child, 79);
    assert_has(&told, "the lock on `my-job` could not be renewed in time (");
    for server in &servers[1..] {
        assert_has(&told, &format!("{}: no answer ", server.address()));
    }
    assert_lacks(&told, &servers[0].address().to_string());
}

#[test]
fn without_proc_no_command_is_started() {
    let servers = servers(3);
    let unshare = if geteuid().is_root() { "-m" } else { "-Urm" };
    let without = |command: &str| {
        let script = format!("mount -t tmpfs none /proc && {command}");
        let hears = plain(&multiredlock(&servers, &[]));
        let variables = hears.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let mut start = Command::new("unshare");
        start.envs(variables).env("M", hears.get_program());
        start.args([unshare, "sh", "-c", &script]).output().unwrap()
    };
    if !without("true").status.success() {
        eprintln!("/proc cannot be hidden here");
        return;
    }
    let output = without("exec $M run r -- echo started");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(71), 0), "{told}");
    assert_has(&told, "/proc");
    nothing_is_left_on(&servers);
}

#[test]
#[cfg(debug_assertions)]
fn a_stop_right_after_the_start_does_not_leave_the_command_unprotected() {
    let servers = servers(3);
    let mut job = Job::starts_by(&servers, "--ttl 2s", FAMILY, |command| {
        start_plain(plain(command).env("MULTIREDLOCK_TEST_STOP", "1"))
    });
    eventually_gone(&job.folder.ids("ids", 2));
    job.signal(Signal::SIGCONT);
    job.ends(79);
}
