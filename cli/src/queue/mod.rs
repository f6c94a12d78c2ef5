//! The queue of the processes on this machine that want the same resource.
//!
//! A process that waits takes an exclusive `flock` on a file first, and keeps it until it has released the lock on the servers.
//! So of a thousand waiting processes one asks the servers, and the kernel wakes the next one when that is over. The queue grants
//! nothing: the servers do. If the file cannot be had, or its holder shows no signs of life, a process goes on without it.

mod file;
mod folder;
mod notice;
mod pulse;

pub(crate) use notice::Notice;

use crate::settings::Settings;
use file::{Locked, QueueFile};
use folder::Folder;
use multiredlock::Server;
use nix::fcntl::Flock;
use pulse::Pulse;
use std::{
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, SystemTime},
};
use tokio::{task::AbortHandle, time::sleep};

/// How often the process that has the turn shows a sign of life, and how often the others look for it.
const LOOK: Duration = Duration::from_secs(1);

/// How old the last sign of life of a process may be whose word is taken.
const ALIVE: Duration = Duration::from_secs(3);

/// How many threads may be left behind in files that were replaced. After that the file is tried at each look.
const MOST_THREADS: usize = 8;

/// The queue for one resource of certain servers.
#[derive(Debug)]
pub(crate) struct LocalQueue {
    /// None if this machine has no folder to queue in.
    folder: Option<Folder>,
    name: String,
}

/// The right to ask the servers before the other processes of this machine.
///
/// Drop passes it to the next process.
#[derive(Debug)]
pub(crate) struct Turn {
    /// None if there is no queue, so that every process has its turn.
    lock: Option<Flock<File>>,
    signs_of_life: Option<AbortHandle>,
}

/// What became of a file while a process waited for it.
enum Waited {
    Turn(Turn),
    /// The file was replaced, so that the queue is elsewhere.
    Replaced,
    /// The file cannot be locked at all.
    Unusable,
}

impl LocalQueue {
    /// Finds the queue. It never fails: a process that has no queue has its turn at once.
    pub(crate) fn new(settings: &Settings, resource: &str) -> Self {
        Self {
            folder: Folder::open(),
            name: name(settings, resource),
        }
    }

    /// Takes the turn, unless another process has it.
    pub(crate) fn try_turn(&self) -> Option<Turn> {
        loop {
            let Some((folder, file)) = self.file() else {
                return Some(Turn::unqueued());
            };
            match file.try_lock() {
                Locked::Yes(lock) if file.is_current(folder) => return Some(Turn::new(lock)),
                Locked::Yes(_) => {}
                Locked::Elsewhere => return None,
                Locked::Never => return Some(Turn::unqueued()),
            }
        }
    }

    /// The file of the queue. None if there can be none.
    fn file(&self) -> Option<(&Folder, QueueFile<'_>)> {
        let folder = self.folder.as_ref()?;
        let file = QueueFile::open(folder, &self.name).ok()?;
        Some((folder, file))
    }

    /// Waits for the turn.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the queue. The thread that waits for the file gives it up as soon as it has it.
    pub(crate) async fn turn(&self) -> Turn {
        let mut threads = 0;
        loop {
            let Some((folder, file)) = self.file() else {
                return Turn::unqueued();
            };
            match wait(folder, &file, &mut threads).await {
                Waited::Turn(turn) => return turn,
                Waited::Replaced => {}
                Waited::Unusable => return Turn::unqueued(),
            }
        }
    }

    /// Whether the process that has the turn has shown a sign of life lately, so that what it says holds.
    pub(crate) fn is_alive(&self) -> bool {
        let modified = self
            .existing()
            .and_then(|file| file.file().metadata().ok()?.modified().ok());
        // A clock that was set back says nothing.
        modified.is_some_and(|modified| modified.elapsed().is_ok_and(|age| age < ALIVE))
    }

    /// What the process says that has the turn, or that had it last.
    pub(crate) fn notice(&self) -> Option<Notice> {
        Notice::read(self.existing()?.file())
    }

    fn existing(&self) -> Option<QueueFile<'_>> {
        QueueFile::existing(self.folder.as_ref()?, &self.name).ok()
    }
}

/// Waits for one file, for as long as that is the queue and its holder is alive.
async fn wait(folder: &Folder, file: &QueueFile<'_>, threads: &mut usize) -> Waited {
    let turn = |lock| {
        if file.is_current(folder) {
            Waited::Turn(Turn::new(lock))
        } else {
            Waited::Replaced
        }
    };
    match file.try_lock() {
        Locked::Yes(lock) => return turn(lock),
        Locked::Elsewhere => {}
        Locked::Never => return Waited::Unusable,
    }
    let mut thread = None;
    if *threads < MOST_THREADS {
        thread = file.lock_by_thread();
        *threads += 1;
    }
    let mut pulse = Pulse::default();
    loop {
        let by_thread = async {
            match &mut thread {
                Some(locked) => locked.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            locked = by_thread => return match locked {
                Ok(Some(lock)) => turn(lock),
                Ok(None) | Err(_) => Waited::Unusable,
            },
            () = sleep(LOOK) => {}
        }
        let Some(modified) = file.modified_if_current(folder) else {
            return Waited::Replaced;
        };
        if pulse.is_gone(modified) {
            // The holder was stopped. All who wait see that the file is gone, and queue in the next one.
            folder.remove(file.name());
            return Waited::Replaced;
        }
        if thread.is_none()
            && let Locked::Yes(lock) = file.try_lock()
        {
            return turn(lock);
        }
    }
}

impl Turn {
    /// The turn of a process that asks the servers without queueing.
    pub(crate) fn unqueued() -> Self {
        Self {
            lock: None,
            signs_of_life: None,
        }
    }

    fn new(lock: Flock<File>) -> Self {
        // What the process before had to say. A file that cannot be written shows no life, which costs the order and nothing else.
        let _ = lock.set_len(0);
        let touch = |file: &File| drop(file.set_modified(SystemTime::now()));
        touch(&lock);
        let signs_of_life = lock.try_clone().ok().map(|file| {
            let signs_of_life = async move {
                loop {
                    sleep(LOOK).await;
                    touch(&file);
                }
            };
            tokio::spawn(signs_of_life).abort_handle()
        });
        Self {
            lock: Some(lock),
            signs_of_life,
        }
    }

    /// Whether other processes may be waiting for this turn to end.
    pub(crate) fn is_queued(&self) -> bool {
        self.lock.is_some()
    }

    /// Shows the processes behind this one why they wait.
    pub(crate) fn show(&self, notice: &Notice) {
        if let Some(file) = &self.lock {
            notice.write(file);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(signs_of_life) = &self.signs_of_life {
            signs_of_life.abort();
        }
        // Unlocked by the call rather than by the last descriptor, which a child may have until it becomes a program.
        self.lock = None;
    }
}

/// The name of the file: the same for all processes that want the resource from the same servers.
fn name(settings: &Settings, resource: &str) -> String {
    let groups = settings.groups.iter().map(|group| {
        // Without passwords: two processes of one user with different ones want the same resource all the same.
        let address = |address: &String| {
            Server::parse(address.trim()).map_or_else(|_| String::new(), |server| server.address().to_string())
        };
        let mut addresses: Vec<String> = group.iter().map(address).collect();
        addresses.sort_unstable();
        addresses
    });
    let mut hasher = DefaultHasher::new();
    groups.collect::<Vec<_>>().hash(&mut hasher);
    settings.key_prefix.as_deref().unwrap_or_default().hash(&mut hasher);
    resource.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
