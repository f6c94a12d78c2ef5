//! Many processes of one machine that want the same resource: their queue, and what happens without it.

use crate::{
    common::{Folder, assert_has, multiredlock, nothing_is_left_on, run, servers, start},
    job::{ends, signal},
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

/// A process that waits for its lock, and does nothing with it.
const NOTHING: [&str; 4] = ["run", "r", "--", "true"];

/// A machine with servers of its own, whose processes queue in a folder.
struct Machine {
    servers: Vec<RedisServer>,
    folder: Folder,
}

impl Machine {
    fn new() -> Self {
        let (servers, folder) = (servers(3), Folder::new());
        Self { servers, folder }
    }

    /// One on which the resource is locked, by this value, and on which these processes wait for it, in this order.
    fn with_waiting<const N: usize>() -> (Self, String, [Child; N]) {
        let machine = Self::new();
        let value = machine.lock();
        let waiting = [(); N].map(|()| machine.start_waiting(&NOTHING).0);
        (machine, value, waiting)
    }

    fn command(&self, arguments: &[&str]) -> assert_cmd::Command {
        let mut command = multiredlock(&self.servers, arguments);
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

    /// Starts one that has the lock.
    fn start_holding(&self, arguments: &[&str]) -> Child {
        let child = start(&self.command(arguments));
        block_until("it is locked", || self.servers[0].get("r").is_some());
        child
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

    /// How many connections the servers have.
    fn connections(&self) -> usize {
        self.servers.iter().map(|server| server.clients().len()).sum()
    }

    /// How many commands the servers were given, with those that scripts call.
    fn processed(&self) -> usize {
        let one = |server: &RedisServer| server.statistic("total_commands_processed");
        self.servers.iter().map(one).sum()
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

/// Waits until each has ended, and done so well.
fn all_end<const N: usize>(children: [Child; N]) {
    for mut child in children {
        ends(&mut child, 0);
    }
}

#[test]
fn a_herd_is_served_in_order_with_few_commands() {
    const PROCESSES: usize = 20;
    let machine = Machine::new();
    let value = machine.lock();
    let log = machine.folder.path("log");
    let mut numbers = 0..PROCESSES;
    let herd = [(); PROCESSES].map(|()| {
        let script = format!("echo {} >> {log}", numbers.next().unwrap());
        machine.start_waiting(&["run", "r", "--", "sh", "-c", &script]).0
    });
    let before = machine.processed();
    machine.unlock(&value);
    all_end(herd);
    let each = (machine.processed() - before) / PROCESSES;
    let order = fs::read_to_string(&log).unwrap();
    let order: Vec<usize> = order.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(order, (0..PROCESSES).collect::<Vec<_>>());
    // It takes 39, and 3 more for each second that it lasts, of which there are many on a busy machine.
    assert!(each < 100, "{each} commands a process");
}

#[test]
fn a_queued_process_says_who_holds_the_resource_and_asks_no_server() {
    let machine = Machine::new();
    let mut holder = machine.start_holding(&["--id", "web-3", "run", "r", "--", "cat"]);
    let before = machine.connections();
    let (child, line) = machine.start_waiting(&NOTHING);
    assert_has(&line, "held by web-3 since ");
    assert!(line.ends_with("s left"), "{line}");
    assert_eq!(machine.connections(), before, "it has connected");
    drop(holder.stdin.take());
    all_end([holder, child]);
}

#[test]
fn a_process_that_has_its_turn_for_long_is_not_taken_for_stopped() {
    let machine = Machine::new();
    let holder = machine.start_holding(&["run", "r", "--", "sleep", "8"]);
    let (next, _) = machine.start_waiting(&NOTHING);
    let queue = machine.queue();
    all_end([holder, next]);
    assert_eq!(machine.queue(), queue);
}

#[test]
fn a_process_that_is_stopped_at_the_head_of_the_queue_does_not_keep_the_others() {
    let (machine, value, [head, one, two, three]) = Machine::with_waiting();
    signal(&head, Signal::SIGSTOP);
    machine.unlock(&value);
    all_end([one, two, three]);
    signal(&head, Signal::SIGCONT);
    all_end([head]);
}

#[test]
fn a_process_that_is_stopped_within_the_queue_does_not_keep_the_others() {
    let (machine, value, [head, stopped, last]) = Machine::with_waiting();
    let queue = machine.queue();
    signal(&stopped, Signal::SIGSTOP);
    machine.unlock(&value);
    all_end([head, last]);
    assert_eq!(machine.queue(), queue, "they had to queue again");
    signal(&stopped, Signal::SIGCONT);
    all_end([stopped]);
}

#[test]
fn a_process_that_is_killed_frees_the_queue_at_once() {
    let (machine, value, [mut head, next]) = Machine::with_waiting();
    let queue = machine.queue();
    signal(&head, Signal::SIGKILL);
    ends(&mut head, 128 + 9);
    machine.unlock(&value);
    all_end([next]);
    // Otherwise the next one has found no sign of life for long enough.
    assert_eq!(machine.queue(), queue);
}

#[test]
fn a_process_that_is_interrupted_in_the_queue_leaves_it() {
    let (machine, value, [head, mut interrupted, last]) = Machine::with_waiting();
    signal(&interrupted, Signal::SIGINT);
    ends(&mut interrupted, 128 + 2);
    machine.unlock(&value);
    all_end([head, last]);
    nothing_is_left_on(&machine.servers);
}

#[test]
fn neither_the_command_nor_its_watchdog_has_the_file_of_the_queue() {
    let machine = Machine::new();
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
    ends(&mut child, 1);
    assert!(machine.try_turn().is_some());
}

#[test]
fn without_a_folder_of_its_own_a_process_asks_the_servers() {
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
        let machine = Machine::new();
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
        assert_has(&first_line(&mut waiting), "held by ");
        machine.unlock(&value);
        all_end([waiting]);
        if let Ok(mut files) = fs::read_dir(&path) {
            assert!(files.next().is_none(), "something is in a folder that is not private");
        }
    }
}

#[test]
fn a_process_that_does_not_wait_does_not_queue() {
    let machine = Machine::new();
    let turn = machine.take_turn();
    let queue = machine.queue();
    for none in [&["--no-wait"][..], &["--wait", "0s"]] {
        assert_eq!(machine.run(&[&["run", "r"], none, &["--", "true"]].concat()).0, 0);
    }
    assert_eq!(machine.queue(), queue);
    drop(turn);
    let value = machine.lock();
    let (waiting, _) = machine.start_waiting(&NOTHING);
    assert_eq!(machine.run(&["run", "r", "--no-wait", "--", "true"]).0, 75);
    machine.unlock(&value);
    all_end([waiting]);
}

#[test]
fn a_process_whose_time_is_up_in_the_queue_says_who_holds_the_resource() {
    let (machine, value, [head]) = Machine::with_waiting();
    let limited = ["run", "r", "--wait", "500ms", "--conflict-exit-code", "9", "--", "true"];
    let before = machine.connections();
    let (mut child, _) = machine.start_waiting(&limited);
    assert_has(&ends(&mut child, 9), "could not lock `r` within 500ms: held by ");
    assert_eq!(machine.connections(), before);
    machine.unlock(&value);
    all_end([head]);
}

#[test]
fn a_process_whose_time_is_up_and_that_knows_no_reason_asks_the_servers() {
    let machine = Machine::new();
    let _turn = machine.take_turn();
    let file = File::options().write(true).open(machine.file()).unwrap();
    file.set_len(0).unwrap();
    let (code, stderr) = machine.run(&["run", "r", "--wait", "100ms", "--", "true"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[test]
fn a_process_whose_time_is_up_takes_no_word_of_one_that_is_stopped() {
    let (machine, value, [head]) = Machine::with_waiting();
    signal(&head, Signal::SIGSTOP);
    // Longer than the word is taken, and less than it takes to find that the process is stopped.
    let (limited, line) = machine.start_waiting(&["run", "r", "--wait", "4s", "--", "true"]);
    assert_has(&line, "held by ");
    machine.unlock(&value);
    all_end([limited]);
    signal(&head, Signal::SIGCONT);
    all_end([head]);
}

#[test]
fn wrong_arguments_do_not_wait_for_their_turn() {
    let machine = Machine::new();
    let _turn = machine.take_turn();
    let queue = machine.queue();
    let (code, stderr) = machine.run(&["lock", "r", "--ttl", "50ms"]);
    assert_eq!((code, stderr.lines().count()), (64, 1), "{stderr}");
    assert_eq!(machine.queue(), queue);
}

#[test]
fn a_process_that_reaches_no_server_lets_the_others_pass() {
    let machine = Machine::new();
    let file = machine.folder.path("locks.toml");
    fs::write(&file, "username = \"nobody\"\npassword = \"wrong\"").unwrap();
    let unreached = "no majority of the servers can be reached";
    let (mut wrong, line) = machine.start_waiting(&["--config", &file, "run", "r", "--", "true"]);
    assert_has(&line, unreached);
    let others = [(); 3].map(|()| machine.start_waiting(&NOTHING));
    for (other, line) in others {
        assert_has(&line, unreached);
        all_end([other]);
    }
    signal(&wrong, Signal::SIGTERM);
    ends(&mut wrong, 128 + 15);
}
