//! The file that the processes of one queue lock, one after the other.

use super::folder::{Folder, is_same};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg, OFlag},
    sys::{
        signal::SigSet,
        stat::{FileStat, fstat},
    },
};
use std::{
    fs::File,
    io, thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::oneshot;

/// How many files there may be before those that nobody needs are removed.
const MOST_FILES: usize = 1_024;

/// How long nobody has needed a file that is removed: each turn shows signs of life more often.
const UNUSED: Duration = Duration::from_secs(30);

/// A thread does nothing but to wait for one system call.
const STACK: usize = 64 * 1_024;

/// A file that was opened, and may have been removed or replaced since.
#[derive(Debug)]
pub(super) struct QueueFile<'a> {
    file: File,
    name: &'a str,
}

/// Whether a file could be locked without waiting.
pub(super) enum Locked {
    Yes(Flock<File>),
    /// Another process has locked it.
    Elsewhere,
    /// The file system knows no locks, or has no more of them.
    Never,
}

/// When a file was modified last, to the nanosecond.
pub(super) type Modified = (i64, i64);

impl<'a> QueueFile<'a> {
    /// Opens the file, and makes it if it is not there.
    pub(super) fn open(folder: &Folder, name: &'a str) -> io::Result<Self> {
        // Another process may make or remove it in between, but hardly each time.
        for _ in 0..100 {
            match Self::existing(folder, name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
            match folder.file(name, OFlag::O_CREAT | OFlag::O_EXCL) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => {
                    let file = made?;
                    tidy(folder);
                    return Ok(Self { file, name });
                }
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    pub(super) fn existing(folder: &Folder, name: &'a str) -> io::Result<Self> {
        let file = folder.file(name, OFlag::empty())?;
        Ok(Self { file, name })
    }

    pub(super) fn name(&self) -> &'a str {
        self.name
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn try_lock(&self) -> Locked {
        let Ok(file) = self.file.try_clone() else {
            return Locked::Never;
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Locked::Yes(lock),
            Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) => Locked::Elsewhere,
            Err(_) => Locked::Never,
        }
    }

    /// Waits for the file in a thread, which is woken by the kernel, first come, first served.
    ///
    /// Nothing ends such a thread but the lock, or the end of the process. None if no thread can be had; what arrives is
    /// none if the file cannot be locked. Until then the file must not be locked in another way, since it would be one lock.
    pub(super) fn lock_by_thread(&self) -> Option<oneshot::Receiver<Option<Flock<File>>>> {
        let mut file = self.file.try_clone().ok()?;
        let (locked, receiver) = oneshot::channel();
        let wait = move || {
            // Signals are for the main thread.
            let _ = SigSet::all().thread_block();
            let lock = loop {
                match Flock::lock(file, FlockArg::LockExclusive) {
                    Ok(lock) => break Some(lock),
                    Err((again, Errno::EINTR)) => file = again,
                    Err(_) => break None,
                }
            };
            // If nobody waits for it any more, it is unlocked here.
            drop(locked.send(lock));
        };
        thread::Builder::new().stack_size(STACK).spawn(wait).ok()?;
        Some(receiver)
    }

    /// Whether the file is still the one that other processes find.
    pub(super) fn is_current(&self, folder: &Folder) -> bool {
        self.modified_if_current(folder).is_some()
    }

    /// When the file was modified, unless it was removed or replaced.
    pub(super) fn modified_if_current(&self, folder: &Folder) -> Option<Modified> {
        let found = folder.state(self.name)?;
        let ours = fstat(&self.file).ok()?;
        is_same(&ours, &found).then(|| modified(&found))
    }
}

#[cfg_attr(
    target_pointer_width = "64",
    expect(clippy::useless_conversion, reason = "it is shorter elsewhere")
)]
fn modified(state: &FileStat) -> Modified {
    (state.st_mtime.into(), state.st_mtime_nsec.into())
}

/// Removes the files that no process needs, if there are many.
fn tidy(folder: &Folder) {
    let names = folder.names();
    if names.len() <= MOST_FILES {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let is_unused = |state: &FileStat| {
        let seconds = u64::try_from(modified(state).0).unwrap_or(0);
        now.saturating_sub(Duration::from_secs(seconds)) > UNUSED
    };
    for name in names {
        if !folder.state(&name).as_ref().is_some_and(is_unused) {
            continue;
        }
        let Ok(file) = QueueFile::existing(folder, &name) else {
            continue;
        };
        // A process that has opened it and comes too late to lock it sees that it is gone.
        if let Locked::Yes(_lock) = file.try_lock() {
            folder.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::geteuid;
    use test_support::Directory;

    /// A folder for queues, within one that is gone in the end.
    fn temporary() -> (Directory, Folder) {
        let directory = Directory::create();
        let folder = Folder::at(&directory.file("queues"), geteuid().as_raw()).unwrap();
        (directory, folder)
    }

    fn is_locked(file: &QueueFile<'_>) -> bool {
        !matches!(file.try_lock(), Locked::Yes(_))
    }

    #[test]
    fn files_that_no_process_needs_are_removed_when_there_are_many() {
        let (_directory, folder) = temporary();
        let names: Vec<String> = (0..MOST_FILES).map(|number| number.to_string()).collect();
        for name in &names {
            let file = QueueFile::open(&folder, name).unwrap();
            file.file().set_modified(UNIX_EPOCH).unwrap();
        }
        let held = QueueFile::open(&folder, &names[0]).unwrap();
        let Locked::Yes(_lock) = held.try_lock() else {
            panic!("it is locked elsewhere");
        };
        let recent = QueueFile::open(&folder, &names[1]).unwrap();
        recent.file().set_modified(SystemTime::now()).unwrap();
        assert_eq!(folder.names().len(), MOST_FILES);
        QueueFile::open(&folder, "new").unwrap();
        let mut left = folder.names();
        left.sort_unstable();
        assert_eq!(left, ["0", "1", "new"]);
    }

    #[test]
    fn a_file_that_was_replaced_is_not_the_queue_any_more() {
        let (_directory, folder) = temporary();
        let file = QueueFile::open(&folder, "r").unwrap();
        assert!(file.is_current(&folder));
        folder.remove("r");
        assert!(!file.is_current(&folder));
        QueueFile::open(&folder, "r").unwrap();
        assert!(!file.is_current(&folder));
    }

    #[test]
    fn a_thread_that_is_left_behind_keeps_nobody() {
        let (_directory, folder) = temporary();
        let open = || QueueFile::open(&folder, "r").unwrap();
        let (holder, left_behind, waiting, other) = (open(), open(), open(), open());
        let Locked::Yes(lock) = holder.try_lock() else {
            panic!("it is locked elsewhere");
        };
        drop(left_behind.lock_by_thread().unwrap());
        let locked = waiting.lock_by_thread().unwrap();
        assert!(is_locked(&other));
        drop(lock);
        let lock = locked.blocking_recv().unwrap().unwrap();
        assert!(is_locked(&other));
        drop(lock);
        // The thread that is left behind may come last.
        while is_locked(&other) {
            thread::yield_now();
        }
    }
}
