//! A simulation of clients that lock and of everything that can go wrong meanwhile, from one number: the seed.
//!
//! A run has a few servers within the process, processes with clients of their own, a network between them, and a nemesis.
//! It all runs on one thread and a paused clock, and whatever is left to chance is drawn from the seed, so that a run can
//! be repeated exactly. What happens is noted in a history, which is checked afterwards: [`checker`].
//!
//! `scripts/simulate` runs many seeds, or shows the history of one.

mod checker;
mod client;
mod history;
mod link;
mod mutation_check;
mod nemesis;
mod network;
mod plan;
mod report;
mod tasks;

pub(crate) use link::connect;
pub(crate) use tasks::{Process, Task};

use crate::Redlock;
use checker::Violation;
use client::Parts;
use history::{Bits, Happened, History, Request};
use network::Network;
use plan::Plan;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};
use tasks::Tasks;
use tokio::time::{Instant, sleep};

thread_local! {
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// All there is in a run.
struct World {
    plan: Plan,
    tasks: Tasks,
    network: RefCell<Network>,
    history: RefCell<History>,
    /// The clients that are in use.
    clients: RefCell<BTreeMap<Process, Redlock>>,
    closed: RefCell<Vec<Process>>,
    closing: Cell<usize>,
    processes: Cell<usize>,
    /// How many workers are not done.
    busy: Cell<usize>,
    is_healed: Cell<bool>,
    is_over: Cell<bool>,
    handed: RefCell<Vec<Parts>>,
    /// What the servers are called, in order.
    addresses: Vec<String>,
    /// Chance for the clients and the nemesis, for the order of tasks, and for the library.
    dice: RefCell<SmallRng>,
    turns: RefCell<SmallRng>,
    library: RefCell<SmallRng>,
}

/// What became of a run.
struct Run {
    plan: Plan,
    history: History,
    violations: Vec<Violation>,
}

/// Broken that the simulated servers, connections and clients break on purpose. Faults within the library are
/// [`InjectedFault`](crate::fault_injection::InjectedFault)s.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one is broken at a time")]
struct Broken {
    /// Servers go on with what a client sent on an earlier connection after it made another.
    old_connections_live: bool,
    /// Servers remove a key whatever its value is.
    unlocks_anything: bool,
    /// Servers say that they renewed a key which they put back.
    healed_counted: bool,
    /// Servers say that they have been up for long, and are the same as ever.
    restart_hidden: bool,
    /// Servers do not say that they were replicas.
    promotion_hidden: bool,
    /// Unlocks overtake what was sent before them.
    unlocks_overtake: bool,
    /// SETs whose answer was lost are sent again on the next connection.
    sets_replayed: bool,
    /// Clients allow for no drift.
    drift_ignored: bool,
}

fn find_world() -> Option<Rc<World>> {
    // None is left either when the thread ends.
    WORLD.try_with(|world| world.borrow().clone()).ok().flatten()
}

fn world() -> Rc<World> {
    find_world().expect("a run")
}

/// The randomness that the library draws its waits from, within a run.
pub(crate) fn library_rng() -> Option<SmallRng> {
    let world = find_world()?;
    let seed = world.library.borrow_mut().r#gen();
    Some(SmallRng::seed_from_u64(seed))
}

/// Runs one seed.
fn run(seed: u64, broken: Broken) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = Rc::new(World::new(seed, broken));
        WORLD.set(Some(Rc::clone(&world)));
        let director = Process(0);
        director.spawn(network::carry());
        for _ in 0..world.plan.clients {
            client::start();
        }
        director.spawn(watch());
        director.spawn(direct());
        if !world.tasks.run(&world.turns, || world.is_over.get()).await {
            world.note(Happened::Wrong("a task goes on without end"));
        }
        world.clear();
        WORLD.set(None);
        let world = Rc::into_inner(world).expect("nothing else is left of the run");
        let (plan, history) = (world.plan, world.history.into_inner());
        let violations = checker::check(&plan, &history);
        Run {
            plan,
            history,
            violations,
        }
    })
}

/// Forgets a run that panicked, whose parts can no longer be dropped in order.
fn abandon() {
    std::mem::forget(WORLD.take());
}

/// Lets things go wrong and then looks at what is left.
async fn direct() {
    let world = world();
    nemesis::rage().await;
    let plan = &world.plan;
    // Each may have to wait for keys of clients that are gone, for servers to vote again, and for its turn to ask.
    let forgotten = plan.longest_guard().unwrap_or_default();
    let limit = Duration::from_secs(20) + 4 * (3 * plan.ttl + plan.longest) + 2 * forgotten;
    let healed = Instant::now();
    while (world.busy.get() > 0 || world.closing.get() > 0) && healed.elapsed() < limit {
        sleep(Duration::from_millis(50)).await;
    }
    if world.busy.get() > 0 {
        world.note(Happened::Wrong("a worker waits without end"));
    }
    let settled = world.longest_recovery() + forgotten;
    sleep(settled.saturating_sub(healed.elapsed())).await;
    let redlocks = std::mem::take(&mut *world.clients.borrow_mut());
    for (client, redlock) in redlocks {
        if !redlock.is_connected() {
            world.note(Happened::Wrong("a client is not connected though all is well"));
        }
        world.clients.borrow_mut().insert(client, redlock);
        client::close(client);
    }
    let closing = Instant::now();
    while world.closing.get() > 0 && closing.elapsed() < Duration::from_secs(10) {
        sleep(Duration::from_millis(20)).await;
    }
    sleep(Duration::from_millis(20)).await;
    world.look_at_closed();
    world.is_over.set(true);
}

/// Looks now and then whether clients know which servers they reach.
async fn watch() {
    loop {
        sleep(Duration::from_millis(200)).await;
        world().look_at_servers();
    }
}

impl World {
    fn new(seed: u64, broken: Broken) -> Self {
        let mut seeds = SmallRng::seed_from_u64(seed);
        let mut rng = || SmallRng::seed_from_u64(seeds.r#gen());
        let plan = Plan::new(&mut rng());
        let mut network = Network::new(&plan, rng());
        network.broken = broken;
        let addresses = network
            .nodes
            .iter()
            .map(|node| node.server.server().address().to_string());
        Self {
            addresses: addresses.collect(),
            network: RefCell::new(network),
            plan,
            tasks: Tasks::default(),
            history: RefCell::new(History::new()),
            clients: RefCell::default(),
            closed: RefCell::default(),
            closing: Cell::new(0),
            processes: Cell::new(1),
            busy: Cell::new(0),
            is_healed: Cell::new(false),
            is_over: Cell::new(false),
            handed: RefCell::default(),
            dice: RefCell::new(rng()),
            turns: RefCell::new(rng()),
            library: RefCell::new(rng()),
        }
    }

    fn dice<T>(&self, draw: impl FnOnce(&mut SmallRng) -> T) -> T {
        draw(&mut self.dice.borrow_mut())
    }

    fn note(&self, what: Happened) {
        self.history.borrow_mut().note(what);
    }

    fn asked(&self, client: Process, what: &'static str, resources: Bits, within: Option<Duration>) -> Request {
        self.history.borrow_mut().asked(client, what, resources, within)
    }

    fn failed(&self, request: Request, why: &'static str) {
        self.note(Happened::Failed { request, why });
    }

    fn server_at(&self, address: &str) -> usize {
        let found = self.addresses.iter().position(|other| other == address);
        found.expect("a server of this run")
    }

    /// How long it takes to notice that a server is down.
    fn longest_notice(&self) -> Duration {
        self.plan.longest_notice()
    }

    /// How long it takes at the most until a server that can be reached is connected to again.
    fn longest_recovery(&self) -> Duration {
        self.plan.longest_recovery()
    }

    fn look_at_servers(&self) {
        let clients = self.clients.borrow();
        for (client, redlock) in clients.iter().filter(|(client, _)| !self.tasks.is_paused(**client)) {
            for (server, status) in redlock.servers().iter().enumerate() {
                let Some((is_reached, lasts)) = self.network.borrow().reach(*client, server) else {
                    continue;
                };
                let is_up = status.state == crate::status::ServerState::Up;
                let is_guarded = matches!(
                    &status.state,
                    crate::status::ServerState::Down(crate::status::DownReason::Restarted { .. })
                );
                let is_misjudged = if is_reached {
                    !is_up && !is_guarded && lasts > self.longest_recovery()
                } else {
                    is_up && lasts > self.longest_notice()
                };
                if is_misjudged {
                    self.note(Happened::Misjudged {
                        client: *client,
                        server,
                        is_up,
                        lasts,
                    });
                }
            }
        }
    }

    /// Clients that were closed leave nothing behind.
    fn look_at_closed(&self) {
        if self.closing.get() > 0 {
            self.note(Happened::Wrong("a client takes too long to close"));
        }
        for client in self.closed.borrow().iter() {
            if self.network.borrow().connections(*client) > 0 {
                self.note(Happened::Wrong("a connection outlives its client"));
            }
            // A worker that waits without end was noted.
            if self.busy.get() == 0 && self.tasks.count(*client) > 0 {
                self.note(Happened::Wrong("a task outlives its client"));
            }
        }
    }

    /// Drops what is left of a run.
    fn clear(&self) {
        for process in (0..self.processes.get()).map(Process) {
            self.network.borrow_mut().kill(process);
        }
        let redlocks = std::mem::take(&mut *self.clients.borrow_mut());
        drop(redlocks);
        for process in (0..self.processes.get()).map(Process) {
            self.tasks.kill(process);
        }
        let rest = self.network.borrow_mut().take_rest();
        drop(rest);
    }
}
