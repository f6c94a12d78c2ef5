//! The processes that descend from another, also those that left its process group.

use crate::exit::{self, Failure};
use nix::{
    errno::Errno,
    sys::signal::{kill, killpg},
    unistd::{Pid, Uid},
};
use std::{fmt, fs, os::unix::fs::MetadataExt};

/// How many of several processes are named.
const NAMED: usize = 3;

/// Refuses a system on which they cannot be found.
pub(super) fn check() -> Result<(), Failure> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let problem = |error| {
        let problem = format!("`run` finds the processes of its command in /proc, which cannot be read: {error}");
        Failure::new(exit::OS, problem)
    };
    fs::read("/proc/self/stat").map(drop).map_err(problem)
}

/// Those that descend from `root`, but for the ones that are dead already, and but for `except` with its own. None where
/// `/proc` does not tell.
pub(super) fn of(root: Pid, except: Pid) -> Vec<Process> {
    below(root, except, &all())
}

/// Those that are left of a group and of its strays. None if they are gone, or dead and not collected yet.
pub(super) fn left(group: Option<Pid>, strays: Vec<Process>) -> Option<Left> {
    let mut left = all();
    left.retain(|process| Some(process.group) == group && !process.is_dead);
    left.extend(strays);
    let is_hidden = left.is_empty() && group.is_some_and(|group| killpg(group, None) == Err(Errno::EPERM));
    (is_hidden || !left.is_empty()).then_some(Left(left))
}

/// Processes that are not gone. They are unknown where `/proc` hides those of other users.
#[derive(Debug)]
pub(super) struct Left(Vec<Process>);

fn all() -> Vec<Process> {
    let Ok(folder) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let ids = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter_map(Process::read).collect()
}

impl Left {
    /// Whether all belong to other users, so that this process may not end them.
    pub(super) fn is_forbidden(&self) -> bool {
        self.0.iter().all(|process| kill(process.id, None) == Err(Errno::EPERM))
    }

    /// Names them, for a message.
    pub(super) fn names(&self) -> String {
        let (named, others) = self.0.split_at(self.0.len().min(NAMED));
        let named: Vec<String> = named.iter().map(ToString::to_string).collect();
        match (named.is_empty(), others.len()) {
            (true, _) => "a process of another user".into(),
            (false, 0) => named.join(" and "),
            (false, count) => format!("{} and {count} more", named.join(", ")),
        }
    }
}

/// A process as it was when `/proc` was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: Pid,
    /// The process group.
    pub(super) group: Pid,
    parent: Pid,
    is_dead: bool,
}

impl Process {
    fn read(id: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        Self::parse(id, &stat)
    }

    /// The name of the program is in parentheses, and may have any in it.
    fn parse(id: i32, stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let mut id_of = || fields.next()?.parse().ok().map(Pid::from_raw);
        Some(Self {
            id: Pid::from_raw(id),
            is_dead: matches!(state, "Z" | "X" | "x"),
            parent: id_of()?,
            group: id_of()?,
        })
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", self.id)).ok();
        write!(f, "process {}", self.id)?;
        let owner = fs::metadata(format!("/proc/{}", self.id)).map(|folder| user(folder.uid()));
        if let (Some(program), Ok(owner)) = (read("comm"), owner) {
            write!(f, " (`{}` of {owner})", program.trim_end())?;
        }
        Ok(())
    }
}

/// The name of a user, as far as it is known without asking another machine.
fn user(id: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == Uid::from_raw(id).to_string()).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("user {id}"))
}

fn below(root: Pid, except: Pid, processes: &[Process]) -> Vec<Process> {
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        let is_child = |process: &&Process| process.parent == parent && process.id != except;
        for child in processes.iter().filter(is_child) {
            parents.push(child.id);
            found.push(*child);
        }
    }
    // Only now: a process that is dead may have children still.
    found.retain(|process| !process.is_dead);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_children_are_found_whatever_they_are_called() {
        let process = |id, stat| Process::parse(id, stat).unwrap();
        let processes = [
            process(2, "2 (sh) S 1 2 2 0"),
            process(3, "3 (a) ) b) R 2 2 3 0"),
            process(4, "4 (gone) Z 2 2 2 0"),
            process(5, "5 (orphan of it) S 4 2 2 0"),
            process(6, "6 (watchdog) S 1 6 6 0"),
            process(7, "7 (its own) S 6 6 6 0"),
            process(8, "8 (another's) S 9 8 8 0"),
        ];
        let found = below(Pid::from_raw(1), Pid::from_raw(6), &processes);
        let mut ids: Vec<_> = found.iter().map(|process| process.id).collect();
        ids.sort();
        assert_eq!(ids, [2, 3, 5].map(Pid::from_raw));
        assert!(found.iter().all(|process| process.group == Pid::from_raw(2)));
        assert!(Process::parse(1, "").is_none());
    }
}
