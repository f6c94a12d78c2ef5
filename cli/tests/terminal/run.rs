//! `run`: the command's streams, signals and children, and its end when the lock is lost.

use crate::{
    common::{
        Folder, all_have_the_lock, assert_has, bare, command_path, failure, failure_on, full_pipe, held_by_another,
        json, multiredlock, nothing_is_left_on, output, output_on, plain, run, run_on, servers, start_on, unlock,
    },
    job::{FAMILY, Job, ends, eventually_gone, forget_all, is_gone, signal},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::{Read, Write},
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use test_support::{RedisServer, block_until_some};

#[test]
fn the_command_has_our_streams_and_its_exit_code_is_ours() {
    let servers = servers(3);
    let mut command = multiredlock(&servers, &["run", "r", "--", "sh", "-c", "cat; echo err >&2; exit 7"]);
    command.write_stdin("in\n");
    assert_eq!(run(command), (7, "in\n".into(), "err\n".into()));
    failure_on(128 + 10, &servers, &["run", "r", "--", "sh", "-c", "kill -USR1 $$"]);
    nothing_is_left_on(&servers);
}

#[test]
fn the_command_is_told_of_its_lock() {
    let servers = servers(3);
    let script = "echo $MULTIREDLOCK_RESOURCE; echo $MULTIREDLOCK_VALUE; echo $MULTIREDLOCK_EXPIRES_AT; echo ${MULTIREDLOCK_TOKEN-none}";
    let arguments = ["run", "r", "--ttl", "60s", "--fenced", "--", "sh", "-c", script];
    let told = output_on(&servers, &arguments);
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
    let waiting = "multiredlock: waiting for `r`: held by web-3 since ";
    assert!(stderr.starts_with(waiting), "{stderr}");
    ends(&mut first, 0);
    assert_eq!(folder.lines("log", 4), ["begin", "end", "begin", "end"]);
}

#[test]
fn a_lock_is_renewed_for_as_long_as_the_command_runs() {
    output_on(&servers(3), &["run", "r", "--ttl", "1s", "--", "sleep", "3"]);
}

#[test]
fn signals_are_handed_on_to_the_command() {
    let (servers, mut job, ids) = Job::of_family("");
    job.signal(Signal::SIGTERM);
    job.ends(128 + 15);
    eventually_gone(&ids);
    for name in ["TERM", "INT", "HUP", "USR1", "QUIT", "USR2"] {
        let script = format!("trap 'exit 33' {name}; echo up >> $D/log; while :; do sleep 0.01; done");
        let mut job = Job::starts(&servers, "", &script);
        job.folder.lines("log", 1);
        job.signal(format!("SIG{name}").parse().unwrap());
        job.ends(33);
    }
}

#[test]
fn who_is_interrupted_while_waiting_leaves_nothing_behind() {
    let servers = servers(3);
    let value = held_by_another(&servers);
    let mut child = start_on(&servers, &["run", "r", "--", "true"]);
    child.stderr.as_mut().unwrap().read_exact(&mut [0; 20]).unwrap();
    signal(&child, Signal::SIGINT);
    ends(&mut child, 128 + 2);
    unlock(&servers, &value);
    nothing_is_left_on(&servers);
}

#[test]
fn when_the_servers_forget_the_lock_the_command_and_its_children_are_ended() {
    let (servers, mut job, ids) = Job::of_family("--json");
    forget_all(&servers);
    let told = job.ends(79);
    // They are gone before the command returns.
    assert!(ids.iter().all(|id| is_gone(*id)));
    let events: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    insta::assert_json_snapshot!(events, {
        "[].valid_for_ms" => "[ms]", "[].expires_at" => "[time]"
    });
}

/// Runs a command that ignores SIGTERM, and whose child does as well, while a majority freezes. Returns how long before the
/// end of its validity it wrote for the last time.
fn left_when_the_quorum_freezes(servers: &[RedisServer]) -> Duration {
    const TTL: Duration = Duration::from_secs(2);
    let drift = Duration::from_millis(100);
    let script = "trap '' TERM; write() { while :; do date +%s%N >> $D/log; done; }; write & write";
    let mut job = Job::starts(servers, "--ttl 2s --grace 300ms", script);
    let times = |job: &Job| -> Vec<u64> {
        let lines = job.folder.lines("log", 1);
        lines.iter().map(|line| line.parse().unwrap()).collect()
    };
    let first = times(&job)[0];
    servers[1..].iter().for_each(RedisServer::freeze);
    job.ends(79);
    let last = times(&job).into_iter().max().unwrap();
    servers[1..].iter().for_each(RedisServer::thaw);
    // It was granted before the command was started, and renewed a third of the ttl later for the first time: if that was
    // before the freeze, it was so much later.
    let end = Duration::from_nanos(first) + TTL;
    let last = Duration::from_nanos(last) + drift;
    end.checked_sub(last)
        .unwrap_or_else(|| panic!("it wrote at {last:?}, after the end at {end:?}"))
}

#[test]
fn when_a_majority_freezes_the_command_is_gone_before_the_validity_ends() {
    // `MULTIREDLOCK_TRIES=100` for the figure.
    let tries = std::env::var("MULTIREDLOCK_TRIES").map_or(2, |tries| tries.parse().unwrap());
    let servers = servers(3);
    let left = (0..tries).map(|_| left_when_the_quorum_freezes(&servers));
    println!("{tries} of {tries} tries; at least {:?} left", left.min().unwrap());
}

#[test]
fn a_crash_of_this_program_does_not_leave_the_command_unprotected() {
    let (_servers, mut job, ids) = Job::of_family("--ttl 2s");
    job.signal(Signal::SIGKILL);
    let begin = Instant::now();
    eventually_gone(&ids);
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_has(&job.ends(128 + 9), "the command was killed: multiredlock is gone");
}

#[test]
fn a_stop_of_this_program_does_not_leave_the_command_unprotected() {
    let (_servers, mut job, ids) = Job::of_family("--ttl 2s");
    job.signal(Signal::SIGSTOP);
    let begin = Instant::now();
    eventually_gone(&ids);
    assert!(
        begin.elapsed() > Duration::from_millis(500),
        "not as long as it was held"
    );
    job.signal(Signal::SIGCONT);
    job.ends(79);
}

#[test]
fn a_command_that_stops_reading_is_no_trouble() {
    let servers = servers(3);
    let mut job = Job::starts(&servers, "", "exec <&-; sleep 0.2");
    // Nobody reads it: what counts is that nothing of it fails.
    let _ = job.child.stdin.take().unwrap().write_all(&vec![b'x'; 1 << 20]);
    job.ends(0);
}

/// Starts it with a standard error that nobody reads, of which not a byte more can be written.
pub(crate) fn start_with_blocked_stderr(command: &assert_cmd::Command) -> (Child, std::io::PipeReader) {
    let (reader, writer) = full_pipe();
    let mut start = plain(command);
    let start = start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer);
    (start.spawn().unwrap(), reader)
}

#[test]
fn messages_that_nobody_reads_hold_up_nothing() {
    let servers = servers(3);
    for options in ["--ttl 2s --grace 300ms", "--json --ttl 2s --grace 300ms"] {
        for which in [None, Some(Signal::SIGKILL), Some(Signal::SIGSTOP)] {
            let mut stderr = None;
            let mut job = Job::starts_by(&servers, options, FAMILY, |command| {
                let (child, reader) = start_with_blocked_stderr(command);
                stderr = Some(reader);
                child
            });
            let ids = job.folder.ids("ids", 2);
            match which {
                Some(which) => job.signal(which),
                None => forget_all(&servers),
            }
            let begin = Instant::now();
            eventually_gone(&ids);
            assert!(begin.elapsed() < Duration::from_secs(4), "{which:?}");
            let _ = job.child.kill();
            job.child.wait().unwrap();
            forget_all(&servers);
        }
    }
}

#[test]
fn who_left_the_process_group_is_ended_as_well() {
    let servers = servers(3);
    let script = "setsid sh -c 'trap \"\" TERM; echo $$ >> $D/ids; while :; do sleep 0.05; done' & wait";
    for is_stopped in [false, true] {
        let mut job = Job::starts(&servers, "--ttl 3s --grace 200ms", script);
        let ids = job.folder.ids("ids", 1);
        if is_stopped {
            job.signal(Signal::SIGSTOP);
        } else {
            forget_all(&servers);
        }
        eventually_gone(&ids);
        job.signal(Signal::SIGCONT);
        job.ends(79);
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
    let mut job = Job::starts(&servers, "--ttl 2s", &format!("trap '' TERM INT HUP; {FAMILY}"));
    let ids = job.folder.ids("ids", 2);
    let watchdog = watchdog_of(&job.child);
    for which in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        kill(watchdog, which).unwrap();
    }
    job.signal(Signal::SIGKILL);
    eventually_gone(&ids);
    eventually_gone(&[watchdog]);
    job.ends(128 + 9);
}

#[test]
fn a_watchdog_that_was_stopped_holds_up_nothing() {
    let servers = servers(3);
    let mut job = Job::starts(&servers, "--ttl 2s", &format!("trap '' USR1; {FAMILY}"));
    let ids = job.folder.ids("ids", 2);
    let watchdog = watchdog_of(&job.child);
    kill(watchdog, Signal::SIGSTOP).unwrap();
    // Each makes it tell the watchdog once more, and a pipe takes some 4,000.
    for _ in 0..8_000 {
        job.signal(Signal::SIGUSR1);
        sleep(Duration::from_micros(100));
    }
    sleep(Duration::from_secs(3));
    assert!(all_have_the_lock(&servers), "it is renewed");
    job.signal(Signal::SIGTERM);
    job.ends(128 + 15);
    eventually_gone(&ids);
    eventually_gone(&[watchdog]);
}

#[test]
fn a_watchdog_that_goes_on_hears_what_it_missed() {
    let (_servers, mut job, ids) = Job::of_family("--ttl 1s");
    let watchdog = watchdog_of(&job.child);
    kill(watchdog, Signal::SIGSTOP).unwrap();
    // What it heard last is over by then.
    sleep(Duration::from_secs(2));
    kill(watchdog, Signal::SIGCONT).unwrap();
    sleep(Duration::from_millis(500));
    assert!(ids.iter().all(|id| !is_gone(*id)), "the lock was renewed all the time");
    job.signal(Signal::SIGTERM);
    job.ends(128 + 15);
}

#[test]
fn signals_that_were_to_be_ignored_are_ignored() {
    let servers = servers(3);
    let mut job = Job::starts_by(&servers, "", FAMILY, |command| {
        let mut start = std::process::Command::new("sh");
        start.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        start.args(["-c", "trap '' HUP INT; exec \"$@\"", "sh", &command_path()]);
        start.args(command.get_args()).spawn().unwrap()
    });
    let ids = job.folder.ids("ids", 2);
    for which in [Signal::SIGHUP, Signal::SIGINT] {
        job.signal(which);
        kill(ids[1], which).unwrap();
    }
    sleep(Duration::from_millis(300));
    assert_eq!(job.child.try_wait().unwrap(), None);
    assert!(ids.iter().all(|id| !is_gone(*id)));
    job.signal(Signal::SIGTERM);
    job.ends(128 + 15);
}

#[test]
fn a_command_that_was_stopped_on_purpose_stays_so_and_keeps_its_lock() {
    let servers = servers(3);
    let script = "echo $$ >> $D/log; while :; do sleep 0.01; echo on >> $D/log; done";
    let mut job = Job::starts(&servers, "--ttl 1s", script);
    let id = Pid::from_raw(job.folder.lines("log", 2)[0].parse().unwrap());
    kill(id, Signal::SIGSTOP).unwrap();
    sleep(Duration::from_millis(100));
    let before = job.folder.lines("log", 1).len();
    sleep(Duration::from_secs(2));
    assert_eq!(job.folder.lines("log", 1).len(), before);
    assert!(all_have_the_lock(&servers), "it is renewed");
    kill(id, Signal::SIGCONT).unwrap();
    job.folder.lines("log", before + 2);
    job.signal(Signal::SIGTERM);
    job.ends(128 + 15);
}

#[test]
fn a_ttl_beyond_all_calendars_can_be_told() {
    let (code, locked) = json(&servers(3), &["lock", "r", "--ttl", "9000y"]);
    assert_eq!((code, &locked["expires_at"]), (0, &"9999-12-31T23:59:59.000Z".into()));
}

#[test]
fn a_wait_of_nothing_is_none() {
    let servers = servers(3);
    for wait in ["0s", "500ms"] {
        output_on(&servers, &["run", "r", "--wait", wait, "--", "true"]);
    }
    held_by_another(&servers);
    failure_on(75, &servers, &["run", "r", "--wait", "0s", "--", "true"]);
}

#[test]
fn a_group_that_is_down_holds_up_no_resource_of_another() {
    let (first, second) = (servers(3), servers(1));
    second[0].crash();
    let folder = Folder::new();
    let file = folder.path("locks.toml");
    let urls = |servers: &[RedisServer]| servers.iter().map(RedisServer::url).collect::<Vec<_>>();
    fs::write(&file, format!("groups = [{:?}, {:?}]", urls(&first), urls(&second))).unwrap();
    let with = |more: &[&str]| bare(&[&["--config", file.as_str()], more].concat());
    // The tests of the library pin which group they belong to.
    let value = output(with(&["lock", "a", "--no-wait"]));
    output(with(&["renew", "a", value.trim()]));
    output(with(&["unlock", "a", value.trim()]));
    output(with(&["run", "a", "--no-wait", "--", "true"]));
    assert_has(&failure(69, with(&["lock", "b", "--no-wait"])), "connection refused");
}

#[test]
fn a_name_cannot_begin_another_line() {
    let servers = servers(3);
    output_on(&servers, &["lock", "a\nb\u{1b}[2J"]);
    let stderr = failure_on(75, &servers, &["run", "a\nb\u{1b}[2J", "--no-wait", "--", "true"]);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_has(&stderr, "a\\nb\\u{1b}[2J");
}

#[test]
fn empty_variables_are_as_good_as_none() {
    let servers = servers(3);
    let mut command = multiredlock(&servers, &["lock", "r"]);
    for name in ["CONFIG", "TLS_CA", "TLS_CERT", "TLS_KEY"] {
        command.env(format!("MULTIREDLOCK_{name}"), "");
    }
    output(command);
    let mut command = multiredlock(&servers, &["lock", "r"]);
    command.env("MULTIREDLOCK_SERVERS", "");
    assert_has(&failure(78, command), "no servers: give them with");
}
