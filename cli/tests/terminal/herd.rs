//! Many processes of one machine that want the same resource: their queue, and what happens without it.

use crate::{
    common::{Folder, code_of, multiredlock, run, servers, start},
    run::{ends, signal},
};
use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::Signal,
};
use std::{
    fs::{self, File, Permissions},
    io::Read,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::PathBuf,
    process::Child,
};
use test_support::{RedisServer, block_until};

/// A machine: its processes queue in a folder of its own.
struct Machine<'a> {
    servers: &'a [RedisServer],
    folder: Folder,
}

impl<'a> Machine<'a> {
    fn new(servers: &'a [RedisServer]) -> Self {
        let folder = Folder::new();
        Self { servers, folder }
    }

    fn command(&self, arguments: &[&str]) -> assert_cmd::Command {
        let mut command = multiredlock(self.servers, arguments);
        command.env("XDG_RUNTIME_DIR", self.folder.path(""));
        command
    }

    /// Runs it to its end: the exit code and standard error.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let (code, _, stderr) = run(self.command(arguments));
        (code, stderr)
    }

    /// Starts one that has to wait. Returns it when it has said why, and so has its place.
    fn start_waiting(&self, arguments: &[&str]) -> (Child, String) {
        let mut child = start(&self.command(arguments));
        let line = first_line(&mut child);
        assert!(line.starts_with("multiredlock: waiting for `r`: "), "{line}");
        (child, line)
    }

    /// Locks the resource for long, and returns the value of the lock.
    fn lock(&self) -> String {
        let (code, value, stderr) = run(self.command(&["lock", "r", "--ttl", "60s"]));
        assert_eq!(code, 0, "{stderr}");
        value.trim().into()
    }

    fn unlock(&self, value: &str) {
        assert_eq!(self.run(&["unlock", "r", value]), (0, String::new()));
    }

    /// The file that the processes lock.
    fn file(&self) -> PathBuf {
        let files = fs::read_dir(self.folder.path("multiredlock")).unwrap();
        let files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }

    /// Which file that is: another if no sign of life was found in the one before.
    fn queue(&self) -> u64 {
        self.file().metadata().unwrap().ino()
    }

    /// Takes the turn of a process that shows no sign of life.
    fn take_turn(&self) -> Flock<File> {
        // There is a file once there was a process.
        let value = self.lock();
        self.unlock(&value);
        self.try_turn().expect("no process has it")
    }

    fn try_turn(&self) -> Option<Flock<File>> {
        let file = File::options().write(true).open(self.file()).unwrap();
        Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()
    }
}

fn first_line(child: &mut Child) -> String {
    let stderr = child.stderr.as_mut().unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while stderr.read(&mut byte).unwrap() > 0 && byte != *b"\n" {
        line.extend(byte);
    }
    String::from_utf8(line).unwrap()
}

fn code(mut child: Child) -> i32 {
    code_of(ends(&mut child))
}

/// How many commands the servers were given, with those that scripts call.
fn processed(servers: &[RedisServer]) -> usize {
    let one = |server: &RedisServer| server.statistic("total_commands_processed");
    servers.iter().map(one).sum()
}

#[test]
fn a_herd_is_served_in_order_with_few_commands() {
    const PROCESSES: usize = 20;
    let servers = servers(3);
    let machine = Machine::new(&servers);
    let value = machine.lock();
    let log = machine.folder.path("log");
    let herd: Vec<Child> = (0..PROCESSES)
        .map(|number| {
            let script = format!("echo {number} >> {log}");
            machine.start_waiting(&["run", "r", "--", "sh", "-c", &script]).0
        })
        .collect();
    let before = processed(&servers);
    machine.unlock(&value);
    for child in herd {
        assert_eq!(code(child), 0);
    }
    let each = (processed(&servers) - before) / PROCESSES;
    let order = fs::read_to_string(&log).unwrap();
    let order: Vec<usize> = order.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(order, (0..PROCESSES).collect::<Vec<_>>());
    // It takes 39, and 3 more for each second that it lasts, of which there are many on a busy machine.
    assert!(each < 100, "{each} commands a process");
}

#[test]
fn a_queued_process_says_who_holds_the_resource_and_asks_no_server() {
    let servers = servers(3);
    let machine = Machine::new(&servers);
    let mut holder = start(&machine.command(&["--id", "web-3", "run", "r", "--", "cat"]));
    block_until("it is locked", || servers[0].get("r").is_some());
    let before: usize = servers.iter().map(|server| server.clients().len()).sum();
    let (child, line) = machine.start_waiting(&["run", "r", "--", "true"]);
    assert!(line.contains("held by web-3 since "), "{line}");
    assert!(line.ends_with("s left"), "{line}");
    let after: usize = servers.iter().map(|server| server.clients().len()).sum();
    assert_eq!(before, after, "it has connected");
    drop(holder.stdin.take());
    assert_eq!((code(holder), code(child)), (0, 0));
}

#[test]
fn a_process_that_has_its_turn_for_long_is_not_taken_for_stopped() {
    let servers = servers(3);
    let machine = Machine::new(&servers);
    let holder = start(&machine.command(&["run", "r", "--", "sleep", "8"]));
    block_until("it is locked", || servers[0].get("r").is_some());
    let (next, _) = machine.start_waiting(&["run", "r", "--", "true"]);
    let queue = machine.queue();
    assert_eq!((code(holder), code(next)), (0, 0));
    assert_eq!(machine.queue(), queue);
}

#[test]
fn a_process_that_is_stopped_at_the_head_of_the_queue_does_not_keep_the_others() {
    let servers = servers(3);
    let machine = Machine::new(&servers);
    let value = machine.lock();
    let (head, _) = machine.start_waiting(&["run", "r", "--", "true"]);
    let others = [(); 3].map(|()| machine.start_waiting(&["run", "r", "--", "true"]).0);
    signal(&head, Signal::SIGSTOP);
    machine.unlock(&value);
    for other in others {
        assert_eq!(code(other), 0);
    }
    signal(&head, Signal::SIGCONT);
    assert_eq!(code(head), 0);
}

#[test]
fn a_process_that_is_stopped_within_the_queue_does_not_keep_the_others() {
    let servers = servers(3);
    let machine = Machine::new(&servers);
    let value = machine.lock();
    let [head, stopped, last] = [(); 3].map(|()| machine.start_waiting(&["run", "r", "--", "true"]).0);
    let queue = machine.queue();
    signal(&stopped, Signal::SIGSTOP);
    machine.unlock(&value);
    assert_eq!((code(head), code(last)), (0, 0));
    assert_eq!(machine.queue(), queue, "they had to queue again");
    signal(&stopped, Signal::SIGCONT);
    assert_eq!(code(stopped), 0);
}

#[test]
fn a_process_that_is_killed_frees_the_queue_at_once() {
    let servers = servers(3);
    let machine = Machine::new(&servers);
    let value = machine.lock();
    let (head, _) = machine.start_waiting(&["run", "r", "--", "true"]);
    let (next, _) = machine.start_waiting(&["run", "r", "--", "true"]);
    let queue = machine.queue();
    signal(&head, Signal::SIGKILL);
    assert_eq!(code(head), 128 + 9);
    machine.unlock(&value);
    assert_eq!(code(next), 0);
    // Otherwise the next one has found no sign of life for long enough.
    assert_eq!(machine.queue(), queue);
}

#[test]
fn a_process_that_is_interrupted_in_the_queue_leaves_it() {
    let servers = servers(3);
    let machine = Machine::new(&servers);
    let value = machine.lock();
    let [head, interrupted, last] = [(); 3].map(|()| machine.start_waiting(&["run", "r", "--", "true"]).0);
    signal(&interrupted, Signal::SIGINT);
    assert_eq!(code(interrupted), 128 + 2);
    machine.unlock(&value);
    assert_eq!((code(head), code(last)), (0, 0));
    assert!(servers.iter().all(|server| server.keys().is_empty()));
}

#[test]
fn neither_the_command_nor_its_watchdog_has_the_file_of_the_queue() {
    let servers = servers(3);
    let machine = Machine::new(&servers);
    // Who has it open, of the command, its parent, and all children of that.
    let script = "for id in $$ $PPID $(cat /proc/$PPID/task/$PPID/children); do
        ls -l /proc/$id/fd | grep -q '/multiredlock\\(/\\|$\\)' && echo $id; done; echo $PPID end; read go";
    let mut child = start(&machine.command(&["run", "r", "--", "sh", "-c", script]));
    let mut text = String::new();
    let mut stdout = child.stdout.take().unwrap();
    while !text.ends_with("end\n") {
        let mut buffer = [0; 64];
        let length = stdout.read(&mut buffer).unwrap();
        text += std::str::from_utf8(&buffer[..length]).unwrap();
        assert!(length > 0, "{text}");
    }
    let ids: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(ids, [ids[0], ids[0], "end"], "our process has it, and no other");
    assert!(machine.try_turn().is_none(), "it has the turn while the command runs");
    drop(child.stdin.take());
    assert_eq!(code(child), 1);
    assert!(machine.try_turn().is_some());
}

#[test]
fn without_a_folder_of_its_own_a_process_asks_the_servers() {
    let servers = servers(3);
    let elsewhere = Folder::new();
    fs::set_permissions(elsewhere.path(""), Permissions::from_mode(0o700)).unwrap();
    for make in [
        |path: &str, _: &Folder| fs::write(path, "").unwrap(),
        |path: &str, elsewhere: &Folder| symlink(elsewhere.path(""), path).unwrap(),
        |path: &str, _: &Folder| {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        },
    ] {
        let machine = Machine::new(&servers);
        let path = machine.folder.path("multiredlock");
        make(&path, &elsewhere);
        let nowhere = machine.folder.path("nowhere");
        let command = |arguments: &[&str]| {
            let mut command = machine.command(arguments);
            command.env("TMPDIR", &nowhere);
            command
        };
        let value = machine.lock();
        let mut waiting = start(&command(&["run", "r", "--", "true"]));
        assert!(first_line(&mut waiting).contains("held by "));
        machine.unlock(&value);
        assert_eq!(code(waiting), 0);
        if let Ok(mut files) = fs::read_dir(&path) {
            assert!(files.next().is_none(), "something is in a folder that is not private");
        }
    }
}

#[test]
fn a_process_that_does_not_wait_does_not_queue() {
    let servers = servers(3);
    let machine = Machine::new(&servers);
    let turn = machine.take_turn();
    let queue = machine.queue();
    for none in [&["--no-wait"][..], &["--wait", "0s"]] {
        assert_eq!(machine.run(&[&["run", "r"], none, &["--", "true"]].concat()).0, 0);
    }
    assert_eq!(machine.queue(), queue);
    drop(turn);
    let value = machine.lock();
    let (waiting, _) = machine.start_waiting(&["run", "r", "--", "true"]);
    assert_eq!(machine.run(&["run", "r", "--no-wait", "--", "true"]).0, 75);
    machine.unlock(&value);
    assert_eq!(code(waiting), 0);
}

#[test]
fn a_process_whose_time_is_up_in_the_queue_says_who_holds_the_resource() {
    let servers = servers(3);
    let machine = Machine::new(&servers);
    let value = machine.lock();
    let (head, _) = machine.start_waiting(&["run", "r", "--", "true"]);
    let limited = ["run", "r", "--wait", "500ms", "--conflict-exit-code", "9", "--", "true"];
    let before = servers[0].clients().len();
    let (mut child, _) = machine.start_waiting(&limited);
    let line = first_line(&mut child);
    assert!(line.contains("could not lock `r` within 500ms: held by "), "{line}");
    assert_eq!(code(child), 9);
    assert_eq!(servers[0].clients().len(), before);
    machine.unlock(&value);
    assert_eq!(code(head), 0);
}

#[test]
fn a_process_whose_time_is_up_and_that_knows_no_reason_asks_the_servers() {
    let servers = servers(3);
    let machine = Machine::new(&servers);
    let _turn = machine.take_turn();
    File::options()
        .write(true)
        .open(machine.file())
        .unwrap()
        .set_len(0)
        .unwrap();
    let (code, stderr) = machine.run(&["run", "r", "--wait", "100ms", "--", "true"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[test]
fn a_process_whose_time_is_up_takes_no_word_of_one_that_is_stopped() {
    let servers = servers(3);
    let machine = Machine::new(&servers);
    let value = machine.lock();
    let (head, _) = machine.start_waiting(&["run", "r", "--", "true"]);
    signal(&head, Signal::SIGSTOP);
    // Longer than the word is taken, and less than it takes to find that the process is stopped.
    let (limited, line) = machine.start_waiting(&["run", "r", "--wait", "4s", "--", "true"]);
    assert!(line.contains("held by "), "{line}");
    machine.unlock(&value);
    assert_eq!(code(limited), 0);
    signal(&head, Signal::SIGCONT);
    assert_eq!(code(head), 0);
}

#[test]
fn wrong_arguments_do_not_wait_for_their_turn() {
    let servers = servers(3);
    let machine = Machine::new(&servers);
    let _turn = machine.take_turn();
    let queue = machine.queue();
    let (code, stderr) = machine.run(&["lock", "r", "--ttl", "50ms"]);
    assert_eq!(code, 64);
    assert_eq!(machine.queue(), queue);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn a_process_that_reaches_no_server_lets_the_others_pass() {
    let servers = servers(3);
    let machine = Machine::new(&servers);
    let file = machine.folder.path("locks.toml");
    fs::write(&file, "username = \"nobody\"\npassword = \"wrong\"").unwrap();
    let (wrong, line) = machine.start_waiting(&["--config", &file, "run", "r", "--", "true"]);
    assert!(line.contains("no majority of the servers can be reached"), "{line}");
    let others = [(); 3].map(|()| machine.start_waiting(&["run", "r", "--", "true"]));
    for (other, line) in others {
        assert!(line.contains("no majority of the servers can be reached"), "{line}");
        assert_eq!(code(other), 0);
    }
    signal(&wrong, Signal::SIGTERM);
    assert_eq!(code(wrong), 128 + 15);
}
