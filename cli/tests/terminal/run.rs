//! `run`: the command's streams, signals and children, and its end when the lock is lost.

use crate::common::{
    Folder, code_of, command_path, full_pipe, json, multiredlock, plain, run, run_on, servers, start_on,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::{Read, Write},
    process::{Child, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use test_support::{RedisServer, block_until, block_until_some};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// What commands write.
pub(crate) trait Written {
    fn lines(&self, name: &str, count: usize) -> Vec<String>;
    fn ids(&self, name: &str, count: usize) -> Vec<Pid>;
}

impl Written for Folder {
    /// The lines of a file, once there are so many.
    fn lines(&self, name: &str, count: usize) -> Vec<String> {
        let start = Instant::now();
        loop {
            let text = fs::read_to_string(self.path(name)).unwrap_or_default();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let lines: Vec<String> = whole.lines().map(Into::into).collect();
            if lines.len() >= count {
                return lines;
            }
            assert!(start.elapsed() < LONG, "only {lines:?} in {name}");
            sleep(Duration::from_millis(5));
        }
    }

    /// Ids of processes that a command has written.
    fn ids(&self, name: &str, count: usize) -> Vec<Pid> {
        let lines = self.lines(name, count);
        lines.iter().map(|id| Pid::from_raw(id.parse().unwrap())).collect()
    }
}

pub(crate) fn ends(child: &mut Child) -> ExitStatus {
    block_until_some("it ends", || child.try_wait().unwrap())
}

pub(crate) fn is_gone(id: Pid) -> bool {
    // Whoever is a zombie does nothing any more.
    match fs::read_to_string(format!("/proc/{id}/stat")) {
        Ok(stat) => stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => kill(id, None).is_err(),
    }
}

pub(crate) fn eventually_gone(ids: &[Pid]) {
    block_until(&format!("{ids:?} are gone"), || ids.iter().all(|id| is_gone(*id)));
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

pub(crate) fn text(stream: Option<impl Read>) -> String {
    let mut text = String::new();
    stream.unwrap().read_to_string(&mut text).unwrap();
    text
}

pub(crate) fn forget_all(servers: &[RedisServer]) {
    for server in servers {
        server.command(&["FLUSHALL"]);
    }
}

/// A command that notes itself and a child, and lasts.
fn family(folder: &Folder) -> String {
    let ids = folder.path("ids");
    format!("sleep 1000 & echo $! >> {ids}; echo $$ >> {ids}; wait")
}

#[test]
fn the_command_has_our_streams_and_its_exit_code_is_ours() {
    let servers = servers(3);
    let mut command = multiredlock(&servers, &["run", "r", "--", "sh", "-c", "cat; echo err >&2; exit 7"]);
    command.write_stdin("in\n");
    assert_eq!(run(command), (7, "in\n".into(), "err\n".into()));
    let (code, ..) = run_on(&servers, &["run", "r", "--", "sh", "-c", "kill -USR1 $$"]);
    assert_eq!(code, 128 + 10);
    assert!(servers.iter().all(|server| server.keys().is_empty()));
}

#[test]
fn the_command_is_told_of_its_lock() {
    let servers = servers(3);
    let script = "echo $MULTIREDLOCK_RESOURCE; echo $MULTIREDLOCK_VALUE; echo $MULTIREDLOCK_EXPIRES_AT; echo ${MULTIREDLOCK_TOKEN-none}";
    let arguments = ["run", "r", "--ttl", "60s", "--fenced", "--", "sh", "-c", script];
    let (code, told, _) = run_on(&servers, &arguments);
    assert_eq!(code, 0);
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told[0], "r");
    assert_eq!(told[1].split('_').count(), 3, "{told:?}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let expires_at: u64 = told[2].parse().unwrap();
    assert!((now + 50..now + 61).contains(&expires_at), "{told:?}");
    assert!(told[3].parse::<u64>().unwrap() > 0);
    let mut plain = multiredlock(&servers, &["run", "r", "--", "sh", "-c", script]);
    plain.env("MULTIREDLOCK_TOKEN", "of somebody else");
    assert_eq!(run(plain).1.lines().nth(3), Some("none"));
}

#[test]
fn two_commands_take_turns_and_who_waits_is_told_for_whom() {
    let servers = servers(3);
    let folder = Folder::new();
    let script = format!("echo begin >> {0}; sleep 0.5; echo end >> {0}", folder.path("log"));
    let mut first = start_on(&servers, &["--id", "web-3", "run", "r", "--", "sh", "-c", &script]);
    folder.lines("log", 1);
    let (code, _, stderr) = run_on(&servers, &["run", "r", "--", "sh", "-c", &script]);
    assert_eq!(code, 0);
    assert!(
        stderr.starts_with("multiredlock: waiting for `r`: held by web-3 since "),
        "{stderr}"
    );
    assert_eq!(ends(&mut first).code(), Some(0));
    assert_eq!(folder.lines("log", 4), ["begin", "end", "begin", "end"]);
}

#[test]
fn a_lock_is_renewed_for_as_long_as_the_command_runs() {
    let servers = servers(3);
    let (code, _, stderr) = run_on(&servers, &["run", "r", "--ttl", "1s", "--", "sleep", "3"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[test]
fn signals_are_handed_on_to_the_command() {
    let servers = servers(3);
    for which in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGQUIT,
        Signal::SIGUSR2,
    ] {
        let folder = Folder::new();
        let name = which.as_str().trim_start_matches("SIG");
        let script = format!(
            "trap 'exit 33' {name}; echo up >> {}; while :; do sleep 0.01; done",
            folder.path("log")
        );
        let mut child = start_on(&servers, &["run", "r", "--", "sh", "-c", &script]);
        folder.lines("log", 1);
        signal(&child, which);
        assert_eq!(ends(&mut child).code(), Some(33), "{which}");
    }
    let folder = Folder::new();
    let mut child = start_on(&servers, &["run", "r", "--", "sh", "-c", &family(&folder)]);
    let ids = folder.ids("ids", 2);
    signal(&child, Signal::SIGTERM);
    assert_eq!(code_of(ends(&mut child)), 128 + 15);
    eventually_gone(&ids);
}

#[test]
fn who_is_interrupted_while_waiting_leaves_nothing_behind() {
    let servers = servers(3);
    let (_, value, _) = run_on(&servers, &["lock", "r", "--ttl", "60s"]);
    let mut child = start_on(&servers, &["run", "r", "--", "true"]);
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_exact(&mut [0; 20]).unwrap();
    signal(&child, Signal::SIGINT);
    assert_eq!(code_of(ends(&mut child)), 128 + 2);
    assert_eq!(run_on(&servers, &["unlock", "r", value.trim()]).0, 0);
    assert!(servers.iter().all(|server| server.keys().is_empty()));
}

#[test]
fn when_the_servers_forget_the_lock_the_command_and_its_children_are_ended() {
    let servers = servers(3);
    let folder = Folder::new();
    let mut child = start_on(&servers, &["run", "r", "--json", "--", "sh", "-c", &family(&folder)]);
    let ids = folder.ids("ids", 2);
    forget_all(&servers);
    assert_eq!(ends(&mut child).code(), Some(79));
    assert!(
        ids.iter().all(|id| is_gone(*id)),
        "they are gone before the command returns"
    );
    let told = text(child.stderr.take());
    let events: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    insta::assert_json_snapshot!(events, {
        "[].valid_for_ms" => "[ms]", "[].expires_at" => "[time]"
    });
}

/// Runs a command that ignores SIGTERM, and whose child does as well, while a majority freezes. Returns how long before the
/// end of its validity it wrote for the last time.
fn left_when_the_quorum_freezes(servers: &[RedisServer], resource: &str) -> Duration {
    const TTL: Duration = Duration::from_secs(2);
    let drift = Duration::from_millis(100);
    let folder = Folder::new();
    let log = folder.path("log");
    let script = format!("trap '' TERM; write() {{ while :; do date +%s%N >> {log}; done; }}; write & write");
    let arguments = [
        "run", resource, "--ttl", "2s", "--grace", "300ms", "--", "sh", "-c", &script,
    ];
    let mut child = start_on(servers, &arguments);
    let first: u64 = folder.lines("log", 1)[0].parse().unwrap();
    let (_, rest) = servers.split_first().unwrap();
    rest.iter().for_each(RedisServer::freeze);
    let status = ends(&mut child);
    let last: u64 = folder
        .lines("log", 1)
        .iter()
        .map(|line| line.parse().unwrap())
        .max()
        .unwrap();
    rest.iter().for_each(RedisServer::thaw);
    assert_eq!(status.code(), Some(79), "{}", text(child.stderr.take()));
    // It was granted before the command was started, and renewed a third of the ttl later for the first time: if that was
    // before the freeze, it was so much later.
    let granted = Duration::from_nanos(first);
    let end = granted + TTL;
    let last = Duration::from_nanos(last) + drift;
    end.checked_sub(last)
        .unwrap_or_else(|| panic!("it wrote at {last:?}, after the end at {end:?}"))
}

#[test]
fn when_a_majority_freezes_the_command_is_gone_before_the_validity_ends() {
    // `MULTIREDLOCK_TRIES=100` for the figure.
    let tries = std::env::var("MULTIREDLOCK_TRIES").map_or(2, |tries| tries.parse().unwrap());
    let servers = servers(3);
    let left: Vec<Duration> = (0..tries)
        .map(|_| left_when_the_quorum_freezes(&servers, "r"))
        .collect();
    println!(
        "{tries} of {tries} tries; at least {:?} left",
        left.iter().min().unwrap()
    );
}

#[test]
fn a_crash_or_a_stop_of_this_program_does_not_leave_the_command_unprotected() {
    let servers = servers(3);
    for (which, within) in [(Signal::SIGKILL, Duration::from_secs(5)), (Signal::SIGSTOP, LONG)] {
        let folder = Folder::new();
        let script = family(&folder);
        let mut child = start_on(&servers, &["run", "r", "--ttl", "2s", "--", "sh", "-c", &script]);
        let ids = folder.ids("ids", 2);
        signal(&child, which);
        let begin = Instant::now();
        eventually_gone(&ids);
        assert!(begin.elapsed() < within, "{which}");
        if which == Signal::SIGSTOP {
            assert!(
                begin.elapsed() > Duration::from_millis(500),
                "not as long as it was held"
            );
            signal(&child, Signal::SIGCONT);
            assert_eq!(ends(&mut child).code(), Some(79));
        } else {
            ends(&mut child);
            let mut told = String::new();
            child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
            assert!(told.contains("the command was killed: multiredlock is gone"), "{told}");
        }
    }
}

#[test]
fn a_command_that_stops_reading_is_no_trouble() {
    let servers = servers(3);
    let mut child = start_on(&servers, &["run", "r", "--", "sh", "-c", "exec <&-; sleep 0.2"]);
    // Nobody reads it: what counts is that nothing of it fails.
    let _ = child.stdin.take().unwrap().write_all(&vec![b'x'; 1 << 20]);
    assert_eq!(ends(&mut child).code(), Some(0));
}

/// Starts it with a standard error that nobody reads, of which not a byte more can be written.
pub(crate) fn start_with_blocked_stderr(servers: &[RedisServer], arguments: &[&str]) -> (Child, std::io::PipeReader) {
    let (reader, writer) = full_pipe();
    let child = plain(&multiredlock(servers, arguments))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(writer)
        .spawn()
        .unwrap();
    (child, reader)
}

#[test]
fn messages_that_nobody_reads_hold_up_nothing() {
    let servers = servers(3);
    for arguments in [&["run", "r"][..], &["--json", "run", "r"]] {
        for which in [None, Some(Signal::SIGKILL), Some(Signal::SIGSTOP)] {
            let folder = Folder::new();
            let script = family(&folder);
            let more = ["--ttl", "2s", "--grace", "300ms", "--", "sh", "-c", &script];
            let (mut child, _stderr) = start_with_blocked_stderr(&servers, &[arguments, &more].concat());
            let ids = folder.ids("ids", 2);
            match which {
                Some(which) => signal(&child, which),
                None => forget_all(&servers),
            }
            let begin = Instant::now();
            eventually_gone(&ids);
            assert!(begin.elapsed() < Duration::from_secs(4), "{which:?}");
            let _ = child.kill();
            ends(&mut child);
            forget_all(&servers);
        }
    }
}

#[test]
fn who_left_the_process_group_is_ended_as_well() {
    let servers = servers(3);
    let folder = Folder::new();
    let ids = folder.path("ids");
    let script = format!("setsid sh -c 'trap \"\" TERM; echo $$ >> {ids}; while :; do sleep 0.05; done' & wait");
    let arguments = ["run", "r", "--ttl", "3s", "--grace", "200ms", "--", "sh", "-c", &script];
    for which in [None, Some(Signal::SIGSTOP)] {
        let mut child = start_on(&servers, &arguments);
        let ids = folder.ids("ids", 1);
        match which {
            Some(which) => signal(&child, which),
            None => forget_all(&servers),
        }
        eventually_gone(&ids);
        if which.is_some() {
            signal(&child, Signal::SIGCONT);
        }
        assert_eq!(ends(&mut child).code(), Some(79));
        fs::remove_file(folder.path("ids")).unwrap();
    }
}

/// The process that watches over a command.
fn watchdog_of(child: &Child) -> Pid {
    let parent = format!("PPid:\t{}\n", child.id());
    block_until_some("there is one", || {
        let mut processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        let watchdog = processes.find(|path| {
            let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
            read("cmdline").contains("--watchdog--") && read("status").contains(&parent)
        });
        Some(Pid::from_raw(watchdog?.file_name()?.to_str()?.parse().unwrap()))
    })
}

#[test]
fn what_is_sent_to_a_whole_service_does_not_end_its_watchdog() {
    let servers = servers(3);
    let folder = Folder::new();
    let script = format!("trap '' TERM INT HUP; {}", family(&folder));
    let mut child = start_on(&servers, &["run", "r", "--ttl", "2s", "--", "sh", "-c", &script]);
    let ids = folder.ids("ids", 2);
    let watchdog = watchdog_of(&child);
    for which in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        kill(watchdog, which).unwrap();
    }
    signal(&child, Signal::SIGKILL);
    eventually_gone(&ids);
    eventually_gone(&[watchdog]);
    ends(&mut child);
}

#[test]
fn a_watchdog_that_was_stopped_holds_up_nothing() {
    let servers = servers(3);
    let folder = Folder::new();
    let script = format!("trap '' USR1; {}", family(&folder));
    let mut child = start_on(&servers, &["run", "r", "--ttl", "2s", "--", "sh", "-c", &script]);
    let ids = folder.ids("ids", 2);
    let watchdog = watchdog_of(&child);
    kill(watchdog, Signal::SIGSTOP).unwrap();
    // Each makes it tell the watchdog once more, and a pipe takes some 4,000.
    for _ in 0..8_000 {
        signal(&child, Signal::SIGUSR1);
        sleep(Duration::from_micros(100));
    }
    sleep(Duration::from_secs(3));
    assert!(servers.iter().all(|server| server.get("r").is_some()), "it is renewed");
    signal(&child, Signal::SIGTERM);
    assert_eq!(code_of(ends(&mut child)), 128 + 15);
    eventually_gone(&ids);
    eventually_gone(&[watchdog]);
}

#[test]
fn a_watchdog_that_goes_on_hears_what_it_missed() {
    let servers = servers(3);
    let folder = Folder::new();
    let mut child = start_on(
        &servers,
        &["run", "r", "--ttl", "1s", "--", "sh", "-c", &family(&folder)],
    );
    let ids = folder.ids("ids", 2);
    let watchdog = watchdog_of(&child);
    kill(watchdog, Signal::SIGSTOP).unwrap();
    // What it heard last is over by then.
    sleep(Duration::from_secs(2));
    kill(watchdog, Signal::SIGCONT).unwrap();
    sleep(Duration::from_millis(500));
    assert!(ids.iter().all(|id| !is_gone(*id)), "the lock was renewed all the time");
    signal(&child, Signal::SIGTERM);
    assert_eq!(code_of(ends(&mut child)), 128 + 15);
}

#[test]
fn signals_that_were_to_be_ignored_are_ignored() {
    let servers = servers(3);
    let folder = Folder::new();
    let script = format!(
        "trap '' HUP INT; exec {} run r -- sh -c '{}'",
        command_path(),
        family(&folder)
    );
    let command = multiredlock(&servers, &[]);
    let mut start = std::process::Command::new("sh");
    start.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = start.args(["-c", &script]).spawn().unwrap();
    let ids = folder.ids("ids", 2);
    for which in [Signal::SIGHUP, Signal::SIGINT] {
        signal(&child, which);
        kill(ids[1], which).unwrap();
    }
    sleep(Duration::from_millis(300));
    assert_eq!(child.try_wait().unwrap(), None);
    assert!(ids.iter().all(|id| !is_gone(*id)));
    signal(&child, Signal::SIGTERM);
    assert_eq!(code_of(ends(&mut child)), 128 + 15);
}

#[test]
fn a_command_that_was_stopped_on_purpose_stays_so_and_keeps_its_lock() {
    let servers = servers(3);
    let folder = Folder::new();
    let script = format!(
        "echo $$ >> {0}; while :; do sleep 0.01; echo on >> {0}; done",
        folder.path("log")
    );
    let mut child = start_on(&servers, &["run", "r", "--ttl", "1s", "--", "sh", "-c", &script]);
    let id = Pid::from_raw(folder.lines("log", 2)[0].parse().unwrap());
    kill(id, Signal::SIGSTOP).unwrap();
    sleep(Duration::from_millis(100));
    let before = folder.lines("log", 1).len();
    sleep(Duration::from_secs(2));
    assert_eq!(folder.lines("log", 1).len(), before);
    assert!(servers.iter().all(|server| server.get("r").is_some()), "it is renewed");
    kill(id, Signal::SIGCONT).unwrap();
    folder.lines("log", before + 2);
    signal(&child, Signal::SIGTERM);
    assert_eq!(code_of(ends(&mut child)), 128 + 15);
}

#[test]
fn a_ttl_beyond_all_calendars_can_be_told() {
    let servers = servers(3);
    let (code, locked) = json(&servers, &["lock", "r", "--ttl", "9000y"]);
    assert_eq!(code, 0);
    assert_eq!(locked["expires_at"], "9999-12-31T23:59:59.000Z");
}

#[test]
fn a_wait_of_nothing_is_none() {
    let servers = servers(3);
    for wait in ["0s", "500ms"] {
        let (code, _, stderr) = run_on(&servers, &["run", "r", "--wait", wait, "--", "true"]);
        assert_eq!(code, 0, "{stderr}");
    }
    let (_, _value, _) = run_on(&servers, &["lock", "r"]);
    let (code, _, stderr) = run_on(&servers, &["run", "r", "--wait", "0s", "--", "true"]);
    assert_eq!(code, 75, "{stderr}");
}

#[test]
fn a_group_that_is_down_holds_up_no_resource_of_another() {
    let (first, second) = (servers(3), servers(1));
    second[0].crash();
    let folder = Folder::new();
    let file = folder.path("locks.toml");
    let urls = |servers: &[RedisServer]| servers.iter().map(RedisServer::url).collect::<Vec<_>>();
    fs::write(&file, format!("groups = [{:?}, {:?}]", urls(&first), urls(&second))).unwrap();
    let with = |more: &[&str]| run(crate::common::bare(&[&["--config", file.as_str()], more].concat()));
    // The tests of the library pin which group they belong to.
    let (code, value, stderr) = with(&["lock", "a", "--no-wait"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(with(&["renew", "a", value.trim()]).0, 0);
    assert_eq!(with(&["unlock", "a", value.trim()]).0, 0);
    assert_eq!(with(&["run", "a", "--no-wait", "--", "true"]).0, 0);
    let (code, _, stderr) = with(&["lock", "b", "--no-wait"]);
    assert_eq!(code, 69);
    assert!(stderr.contains("connection refused"), "{stderr}");
}

#[test]
fn a_name_cannot_begin_another_line() {
    let servers = servers(3);
    let (_, _value, _) = run_on(&servers, &["lock", "a\nb\u{1b}[2J"]);
    let (code, _, stderr) = run_on(&servers, &["run", "a\nb\u{1b}[2J", "--no-wait", "--", "true"]);
    assert_eq!((code, stderr.lines().count()), (75, 1), "{stderr}");
    assert!(stderr.contains("a\\nb\\u{1b}[2J"), "{stderr}");
}

#[test]
fn empty_variables_are_as_good_as_none() {
    let servers = servers(3);
    let mut command = multiredlock(&servers, &["lock", "r"]);
    for name in ["CONFIG", "TLS_CA", "TLS_CERT", "TLS_KEY"] {
        command.env(format!("MULTIREDLOCK_{name}"), "");
    }
    assert_eq!(run(command).0, 0);
    let mut command = multiredlock(&servers, &["lock", "r"]);
    command.env("MULTIREDLOCK_SERVERS", "");
    let (code, _, stderr) = run(command);
    assert_eq!(code, 78);
    assert!(stderr.contains("no servers: give them with"), "{stderr}");
}
