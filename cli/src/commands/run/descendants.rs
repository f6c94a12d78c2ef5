//! The processes that descend from another, also those that left its process group.

use nix::unistd::Pid;
use std::fs;

/// Those that descend from `root`, but for the ones that are dead already, and but for `except` with its own. None where
/// `/proc` does not tell.
pub(super) fn of(root: Pid, except: Pid) -> Vec<Pid> {
    let Ok(folder) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let ids = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let processes: Vec<Process> = ids.filter_map(Process::read).collect();
    below(root, except, &processes)
}

#[derive(Clone, Copy, Debug)]
struct Process {
    id: i32,
    parent: i32,
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
        Some(Self {
            id,
            is_dead: matches!(state, "Z" | "X" | "x"),
            parent: fields.next()?.parse().ok()?,
        })
    }
}

fn below(root: Pid, except: Pid, processes: &[Process]) -> Vec<Pid> {
    let mut found = vec![root.as_raw()];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = processes
            .iter()
            .filter(|process| process.parent == parent && process.id != except.as_raw());
        found.extend(children.map(|process| process.id));
        next += 1;
    }
    let is_alive = |id: &i32| processes.iter().any(|process| process.id == *id && !process.is_dead);
    found[1..].iter().copied().filter(is_alive).map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_children_are_found_whatever_they_are_called() {
        let process = |id, stat| Process::parse(id, stat).unwrap();
        let processes = [
            process(2, "2 (sh) S 1 2 2 0"),
            process(3, "3 (a) ) b) R 2 3 3 0"),
            process(4, "4 (gone) Z 2 2 2 0"),
            process(5, "5 (orphan of it) S 4 2 2 0"),
            process(6, "6 (watchdog) S 1 6 6 0"),
            process(7, "7 (its own) S 6 6 6 0"),
            process(8, "8 (another's) S 9 8 8 0"),
        ];
        let found = below(Pid::from_raw(1), Pid::from_raw(6), &processes);
        assert_eq!(found, [2, 3, 5].map(Pid::from_raw));
        assert!(Process::parse(1, "").is_none());
    }
}
