//! On a terminal: the full-screen view, the line of who waits, and whose keys they are.

use crate::common::{
    addresses, assert_has, assert_lacks, command_path, held_by_another, nothing_is_left_on, servers, unlock,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use std::{
    io::{Read, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use test_support::{RedisServer, block_until, block_until_some};

const PATIENCE: Duration = Duration::from_secs(20);

/// A person before a terminal on which one program runs.
pub(crate) struct Person {
    child: Box<dyn Child + Send + Sync>,
    keys: Option<Box<dyn Write + Send>>,
    screen: Arc<Mutex<vt100::Parser>>,
    terminal: Option<Box<dyn MasterPty + Send>>,
    reader: JoinHandle<()>,
    looks_away: Arc<AtomicBool>,
}

impl Person {
    /// Starts a program, which finds the command by `$M`.
    pub(crate) fn starts(servers: &[RedisServer], program: &str, arguments: &[&str]) -> Self {
        let size = PtySize {
            rows: 30,
            cols: 110,
            ..PtySize::default()
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.env("MULTIREDLOCK_SERVERS", addresses(servers));
        command.env("TERM", "xterm");
        command.env("M", command_path());
        command.env("PS1", "prompt> ");
        command.cwd(std::env::temp_dir());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(size.rows, size.cols, 0)));
        let mut output = pair.master.try_clone_reader().unwrap();
        let looks_away = Arc::new(AtomicBool::new(false));
        let reader = thread::spawn({
            let (screen, looks_away) = (Arc::clone(&screen), Arc::clone(&looks_away));
            move || {
                let mut bytes = [0; 4096];
                while let (false, Ok(length @ 1..)) = (looks_away.load(Ordering::Relaxed), output.read(&mut bytes)) {
                    screen.lock().unwrap().process(&bytes[..length]);
                }
            }
        });
        Self {
            child,
            keys: Some(pair.master.take_writer().unwrap()),
            screen,
            terminal: Some(pair.master),
            reader,
            looks_away,
        }
    }

    /// Reads nothing more of what the program writes, which has to write once more for that.
    pub(crate) fn looks_away(&self) {
        self.looks_away.store(true, Ordering::Relaxed);
        block_until("something is written", || self.reader.is_finished());
    }

    /// Closes the terminal.
    pub(crate) fn hangs_up(&mut self) {
        self.looks_away();
        self.keys = None;
        self.terminal = None;
    }

    /// Waits for the end of the program.
    pub(crate) fn ends(&mut self) -> ExitStatus {
        block_until_some("it ends", || self.child.try_wait().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.process_id().unwrap()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
    }

    fn screen(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    pub(crate) fn types(&mut self, keys: &str) {
        let to = self.keys.as_mut().expect("the terminal is open");
        to.write_all(keys.as_bytes()).unwrap();
        to.flush().unwrap();
    }

    pub(crate) fn sees(&self, words: &str) {
        let start = Instant::now();
        while !self.screen().contains(words) {
            assert!(start.elapsed() < PATIENCE, "no `{words}` in\n{}", self.screen());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What is typed while the shell still reads does not arrive as a line at its job.
    fn sees_after_typing(&mut self, keys: &str, words: &str) {
        let start = Instant::now();
        while !self.screen().contains(words) {
            assert!(start.elapsed() < PATIENCE, "no `{words}` in\n{}", self.screen());
            thread::sleep(Duration::from_millis(300));
            self.types(keys);
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// Waits for the end, which has to have this exit code, and returns what is on the screen then.
    #[track_caller]
    pub(crate) fn leaves(mut self, code: u32) -> String {
        let status = self.ends();
        // Shells use this exit code for a command that was interrupted.
        let was_interrupted = status.signal().is_some_and(|signal| signal.contains("Interrupt"));
        let ended = if was_interrupted { 130 } else { status.exit_code() };
        // What it wrote last may still be on its way.
        thread::sleep(Duration::from_millis(100));
        let screen = self.screen.lock().unwrap();
        assert!(!screen.screen().alternate_screen(), "the screen is given back");
        assert!(!screen.screen().hide_cursor(), "so is the cursor");
        let contents = screen.screen().contents();
        assert_eq!(ended, code, "{contents}");
        contents
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[test]
fn the_view_shows_what_happens_to_the_servers_and_gives_the_terminal_back() {
    let servers = servers(3);
    for key in ["q", "\u{3}", "\u{1b}"] {
        let mut person = Person::starts(&servers, &command_path(), &["watch"]);
        person.sees("connected: 3 of 3 servers can vote, 2 required");
        servers[1].crash();
        person.sees("connected: 2 of 3 servers can vote, 2 required");
        person.sees("down: connection refused");
        person.sees("is down: connection lost");
        servers[1].restart();
        person.sees("connected: 3 of 3 servers can vote, 2 required");
        person.types(key);
        person.leaves(0);
    }
}

#[test]
#[cfg(debug_assertions)]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    let servers = servers(1);
    let script =
        "MULTIREDLOCK_TEST_PANIC=1 RUST_BACKTRACE=0 $M watch; echo; stty -a | grep -o ' echo ' && echo restored";
    let screen = Person::starts(&servers, "sh", &["-c", script]).leaves(0);
    assert_has(&screen, "as a test asked for");
    assert_has(&screen, "restored");
}

#[test]
fn ctrl_c_is_the_commands_while_it_runs() {
    let servers = servers(3);
    let script = "trap 'echo caught; exit 5' INT; echo up; while :; do sleep 0.05; done";
    let mut person = Person::starts(&servers, &command_path(), &["run", "r", "--", "sh", "-c", script]);
    person.sees("up");
    person.types("\u{3}");
    let screen = person.leaves(5);
    assert_has(&screen, "caught");
    nothing_is_left_on(&servers);
}

#[test]
fn ctrl_c_ends_a_script_around_the_command_too() {
    let servers = servers(3);
    let script = "trap 'echo script ends; exit 9' INT; $M run r -- sh -c 'echo up; exec sleep 1000'; echo after";
    let mut person = Person::starts(&servers, "bash", &["-c", script]);
    person.sees("up");
    person.types("\u{3}");
    let screen = person.leaves(9);
    assert_has(&screen, "script ends");
    assert_lacks(&screen, "after");
}

#[test]
fn the_command_reads_from_the_terminal() {
    let servers = servers(3);
    let script = "echo ready; read line; echo got $line";
    let mut person = Person::starts(&servers, &command_path(), &["run", "r", "--", "sh", "-c", script]);
    person.sees("ready");
    person.types("hello\r");
    let screen = person.leaves(0);
    assert_has(&screen, "got hello");
}

#[test]
fn who_waits_sees_for_whom_in_a_line_that_goes_away() {
    let servers = servers(3);
    let value = held_by_another(&servers);
    let person = Person::starts(&servers, &command_path(), &["run", "r", "--", "echo", "mine"]);
    person.sees("waiting for `r`: held by web-3 since ");
    unlock(&servers, &value);
    let screen = person.leaves(0);
    assert_has(&screen, "mine");
    assert_lacks(&screen, "waiting");
}

#[test]
fn ctrl_c_leaves_nothing_of_the_line_of_who_waits() {
    let servers = servers(3);
    held_by_another(&servers);
    for command in [&["run", "r", "--", "true"][..], &["lock", "r"]] {
        let mut person = Person::starts(&servers, &command_path(), command);
        person.sees("waiting for `r`: held by web-3 since ");
        person.types("\u{3}");
        let screen = person.leaves(130);
        assert_eq!(screen.trim(), "multiredlock: ended by SIGINT");
    }
}

#[test]
fn a_command_can_be_stopped_and_go_on_as_a_job_of_the_shell() {
    let servers = servers(3);
    let mut person = shell(&servers);
    // A shell that is just forking cannot be stopped, so that this one does not fork any more.
    person.types("$M run r --ttl 60s -- sh -c 'echo up; exec cat'; echo ended\r");
    person.sees("\nup");
    person.types("\u{1a}");
    person.sees("Stopped");
    person.types("fg\r");
    // What is typed while the shell still reads does not arrive as a line.
    let (start, mut typed) = (Instant::now(), 0);
    while person.screen().matches("hello").count() <= typed {
        assert!(start.elapsed() < PATIENCE, "{}", person.screen());
        person.types("hello\r");
        typed += 1;
        thread::sleep(Duration::from_millis(300));
    }
    person.types("\u{4}");
    person.sees("prompt> ");
    person.types("exit 0\r");
    person.leaves(0);
    nothing_is_left_on(&servers);
}

/// A person before an interactive shell.
fn shell(servers: &[RedisServer]) -> Person {
    let person = Person::starts(servers, "bash", &["--norc", "--noprofile", "-i"]);
    person.sees("prompt> ");
    person
}

#[test]
fn ctrl_c_ends_a_loop_of_a_script() {
    let servers = servers(3);
    let script = "for i in 1 2 3; do $M run r -- sh -c 'echo up; exec sleep 1000'; echo next; done";
    let mut person = Person::starts(&servers, "bash", &["-c", script]);
    person.sees("up");
    person.types("\u{3}");
    let screen = person.leaves(130);
    assert!(!screen.contains("next"), "{screen}");
}

#[test]
fn a_job_that_was_stopped_goes_on_in_the_background_and_leaves_the_terminal_to_the_shell() {
    let servers = servers(3);
    let mut person = shell(&servers);
    // A shell that is just forking cannot be stopped, so that this one has done so before.
    person.types("$M run r --ttl 60s -- sh -c 'sleep 1 & echo up; wait; echo do''ne'\r");
    person.sees("\nup");
    person.types("\u{1a}");
    person.sees("Stopped");
    person.types("bg\r");
    person.sees("done");
    person.types("echo al''ive\r");
    person.sees("\nalive");
    person.types("exit 0\r");
    person.leaves(0);
}

#[test]
fn a_job_in_the_background_waits_for_the_terminal_that_its_command_reads() {
    let servers = servers(3);
    let mut person = shell(&servers);
    person.types("$M run r --ttl 60s -- sh -c 'read line; echo got $line' &\r");
    // The shell tells of it with its next prompt.
    person.sees_after_typing("\r", "Stopped");
    person.types("fg\r");
    person.sees("fg\n$M run r");
    person.sees_after_typing("hello\r", "got hello");
    person.types("\rexit 0\r");
    person.leaves(0);
}

#[test]
fn in_a_pipe_the_terminal_is_left_to_who_reads_it() {
    reads_from_the_terminal("$M run r -- sh -c 'echo up; sleep 1' | sh -c 'cat; read line < /dev/tty; echo got $line'");
}

#[test]
fn a_command_that_has_no_terminal_on_its_streams_gets_it_when_it_asks() {
    reads_from_the_terminal("echo in | $M run r -- sh -c 'echo up; read line < /dev/tty; echo got $line'");
}

fn reads_from_the_terminal(script: &str) {
    let servers = servers(3);
    let mut person = shell(&servers);
    person.types(&format!("{script}\r"));
    person.sees("\nup");
    person.sees_after_typing("hello\r", "got hello");
    person.types("exit 0\r");
    person.leaves(0);
}
