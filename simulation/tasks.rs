//! Tasks, each of a process, which take turns by chance. A process that is paused takes none.
//!
//! The library's tasks run here rather than on tokio's scheduler, so that their order follows from the seed. Which of the
//! tasks that are ready goes next is drawn from the set of them: in which order they were woken, which tokio draws itself
//! in places, makes no difference.

use super::world;
use rand::{Rng, rngs::SmallRng};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
};

/// More turns than any run takes: some task goes on without end while the clock stands still.
const MOST_TURNS: u64 = 400_000;

/// Something that can be paused or killed as a whole. The first is the world itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process(pub(super) usize);

/// A task of the simulation.
#[derive(Debug)]
pub(crate) struct Task(u64);

#[derive(Default)]
pub(super) struct Tasks {
    all: RefCell<BTreeMap<u64, Slot>>,
    next: Cell<u64>,
    ready: Arc<Ready>,
    current: Cell<Option<Process>>,
    paused: RefCell<BTreeSet<Process>>,
    turns: Cell<u64>,
}

struct Slot {
    process: Process,
    /// Nothing while it takes its turn.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    waker: Waker,
    is_aborted: bool,
}

#[derive(Default)]
struct Ready(Mutex<Woken>);

#[derive(Default)]
struct Woken {
    tasks: BTreeSet<u64>,
    /// Who gives the turns, while no task is ready.
    driver: Option<Waker>,
}

struct TaskWaker {
    task: u64,
    ready: Arc<Ready>,
}

impl Process {
    /// The process whose task takes its turn, within a simulation.
    pub(crate) fn current() -> Option<Self> {
        super::find_world()?.tasks.current.get()
    }

    pub(crate) fn spawn(self, task: impl Future<Output = ()> + 'static) -> Task {
        world().tasks.spawn(self, Box::pin(task))
    }
}

impl Task {
    /// Drops the task at its next turn.
    pub(crate) fn abort(&self) {
        // A run that is over has dropped them all.
        if let Some(world) = super::find_world() {
            world.tasks.abort(self.0);
        }
    }
}

impl Tasks {
    fn spawn(&self, process: Process, future: Pin<Box<dyn Future<Output = ()>>>) -> Task {
        let task = self.next.replace(self.next.get() + 1);
        let waker = Waker::from(Arc::new(TaskWaker {
            task,
            ready: Arc::clone(&self.ready),
        }));
        waker.wake_by_ref();
        let slot = Slot {
            process,
            future: Some(future),
            waker,
            is_aborted: false,
        };
        self.all.borrow_mut().insert(task, slot);
        Task(task)
    }

    fn abort(&self, task: u64) {
        if let Some(slot) = self.all.borrow_mut().get_mut(&task) {
            slot.is_aborted = true;
            slot.waker.wake_by_ref();
        }
    }

    pub(super) fn pause(&self, process: Process) {
        self.paused.borrow_mut().insert(process);
    }

    pub(super) fn resume(&self, process: Process) {
        self.paused.borrow_mut().remove(&process);
        for slot in self.all.borrow().values().filter(|slot| slot.process == process) {
            slot.waker.wake_by_ref();
        }
    }

    pub(super) fn is_paused(&self, process: Process) -> bool {
        self.paused.borrow().contains(&process)
    }

    /// Drops all tasks of a process.
    pub(super) fn kill(&self, process: Process) {
        loop {
            let next = |all: &BTreeMap<u64, Slot>| {
                let mut of_process = all.iter().filter(|(_, slot)| slot.process == process);
                of_process.next().map(|(task, _)| *task)
            };
            let Some(task) = next(&self.all.borrow()) else { break };
            let slot = self.all.borrow_mut().remove(&task);
            drop(slot);
        }
    }

    pub(super) fn count(&self, process: Process) -> usize {
        self.all
            .borrow()
            .values()
            .filter(|slot| slot.process == process)
            .count()
    }

    /// Acts as this process.
    pub(super) fn act_as<T>(&self, process: Process, act: impl FnOnce() -> T) -> T {
        let before = self.current.replace(Some(process));
        let result = act();
        self.current.set(before);
        result
    }

    /// Gives turns until `is_over`. Returns whether it came to that.
    pub(super) async fn run(&self, chance: &RefCell<SmallRng>, is_over: impl Fn() -> bool) -> bool {
        let turns = poll_fn(|cx| {
            while !is_over() {
                self.turns.set(self.turns.get() + 1);
                if self.turns.get() > MOST_TURNS {
                    return Poll::Ready(false);
                }
                let Some(task) = self.next(chance) else {
                    self.ready.0.lock().unwrap().driver = Some(cx.waker().clone());
                    return Poll::Pending;
                };
                self.give_turn(task);
            }
            Poll::Ready(true)
        });
        // Tokio's own budget for a task would end some turns early.
        tokio::task::unconstrained(turns).await
    }

    fn next(&self, chance: &RefCell<SmallRng>) -> Option<u64> {
        let mut woken = self.ready.0.lock().unwrap();
        let paused = self.paused.borrow();
        if !paused.is_empty() {
            let all = self.all.borrow();
            // They are woken again when their process goes on.
            let is_paused = |task: &u64| all.get(task).is_some_and(|slot| paused.contains(&slot.process));
            woken.tasks.retain(|task| !is_paused(task));
        }
        let task = match woken.tasks.len() {
            0 => return None,
            1 => *woken.tasks.first()?,
            ready => *woken.tasks.iter().nth(chance.borrow_mut().gen_range(0..ready))?,
        };
        woken.tasks.remove(&task);
        Some(task)
    }

    fn give_turn(&self, task: u64) {
        let (process, future, waker) = {
            let mut all = self.all.borrow_mut();
            let Some(slot) = all.get_mut(&task) else { return };
            if slot.is_aborted {
                let slot = all.remove(&task);
                drop(all);
                drop(slot);
                return;
            }
            (slot.process, slot.future.take(), slot.waker.clone())
        };
        let Some(mut future) = future else { return };
        let mut cx = Context::from_waker(&waker);
        let is_ready = self.act_as(process, || future.as_mut().poll(&mut cx).is_ready());
        let mut all = self.all.borrow_mut();
        match all.get_mut(&task) {
            Some(slot) if !is_ready => slot.future = Some(future),
            _ => {
                let slot = all.remove(&task);
                drop(all);
                drop((slot, future));
            }
        }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("turns", &self.turns)
            .finish_non_exhaustive()
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut woken = self.ready.0.lock().unwrap();
        woken.tasks.insert(self.task);
        let driver = woken.driver.take();
        drop(woken);
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}
