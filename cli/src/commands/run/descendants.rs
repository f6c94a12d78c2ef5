//! The processes that descend from another, also those that left its process group.

use nix::unistd::Pid;
use std::fs;

/// Those that descend from `root`, but for the ones that are dead already, and but for `except` with its own. None where
/// `/proc` does not tell.
pub(super) fn of(root: Pid, except: Pid) -> Vec<Process> {
    let Ok(folder) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let ids = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let processes: Vec<Process> = ids.filter_map(Process::read).collect();
    below(root, except, &processes)
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

fn below(root: Pid, except: Pid, processes: &[Process]) -> Vec<Process> {
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        let children = processes
            .iter()
            .filter(|process| process.parent == parent && process.id != except);
        for child in children {
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
