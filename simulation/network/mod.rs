//! The ways between clients and servers. On each connection messages keep their order; each takes its own time.
//!
//! A message waits where it cannot go on: at a way that is blocked, at a server that is frozen, at a client that is paused.

mod arrival;
mod clients;
mod faults;
mod travel;

pub(super) use travel::carry;

use super::{Broken, nemesis::Strike, plan::Plan, tasks::Process};
use crate::{
    decision::DownReason,
    server::{
        Operation, Verb,
        link::{Change, Command, Outcome},
        memory::{MemoryServer, Replica},
    },
    testing,
};
use rand::rngs::SmallRng;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::Arc,
    task::Waker,
    time::Duration,
};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::Instant,
};

pub(super) struct Network {
    pub(super) nodes: Vec<Node>,
    wires: Vec<Wire>,
    messages: BinaryHeap<Reverse<Message>>,
    /// Messages that wait, in order, and at what.
    waiting: BTreeMap<Gate, Vec<Message>>,
    blocked: BTreeSet<Gate>,
    dead: BTreeSet<Process>,
    /// Since when each client has been able to reach each server, or not.
    reach: BTreeMap<(Process, usize), (bool, Instant)>,
    /// What of that has changed and is not noted yet.
    pub(super) crossings: Vec<(Process, usize, bool)>,
    /// What goes no further. It is dropped when nobody borrows the network, which the library may do as it drops it.
    rest: Vec<What>,
    /// Keys that others wait to set.
    left: Vec<Strike>,
    /// SETs to send again, if that rule is broken.
    lost_sets: BTreeMap<(Process, usize), Vec<Arc<Operation>>>,
    sent: u64,
    latency: (u64, u64),
    waker: Option<Waker>,
    rng: SmallRng,
    pub(super) broken: Broken,
}

/// A server, and how its process is.
pub(super) struct Node {
    pub(super) server: MemoryServer,
    is_running: bool,
    is_frozen: bool,
    life: u64,
    started: Instant,
    /// A replica that no longer follows.
    replica: Option<Replica>,
    /// Whether the process was a replica before.
    was_replica: bool,
    /// The connections that are told of changes.
    tracked: Vec<usize>,
}

/// Where messages wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gate {
    To(usize, Process),
    From(usize, Process),
    Frozen(usize),
    Paused(Process),
}

/// A connection.
struct Wire {
    client: Process,
    server: usize,
    life: u64,
    /// Whether either end still has it.
    client_has_it: bool,
    server_has_it: bool,
    /// Whether nothing that is sent from now on arrives, though neither end knows.
    is_cut: bool,
    /// Since when the client uses it.
    used_since: Option<Instant>,
    last_to: Instant,
    last_from: Instant,
    commands: u64,
    unanswered: BTreeMap<u64, Command>,
    pings: BTreeMap<u64, oneshot::Sender<u64>>,
    welcome: Option<oneshot::Sender<Result<Life, DownReason>>>,
    ended: Option<oneshot::Sender<()>>,
    feed: Option<mpsc::UnboundedSender<Change>>,
    told: Option<broadcast::Receiver<Arc<[u8]>>>,
}

/// What a server tells a new connection of itself.
pub(super) struct Life {
    pub(super) run_id: String,
    pub(super) uptime: Duration,
    pub(super) was_replica: bool,
}

/// What a new connection is used by.
pub(super) struct Opened {
    pub(super) wire: usize,
    pub(super) welcome: oneshot::Receiver<Result<Life, DownReason>>,
    pub(super) ended: oneshot::Receiver<()>,
    pub(super) feed: mpsc::UnboundedReceiver<Change>,
}

struct Message {
    due: Instant,
    number: u64,
    wire: usize,
    what: What,
}

enum What {
    Hello,
    Run(u64, Arc<[Arc<Operation>]>),
    Track(Box<dyn FnOnce(bool) + Send>),
    Ping(u64),
    Back(Reply),
}

enum Reply {
    Welcome(Life),
    Refused,
    Ran(u64, Vec<Outcome>),
    Tracked(Box<dyn FnOnce(bool) + Send>),
    Pong(u64, u64),
    Changed(Arc<[u8]>),
    Reset,
    /// No answer will come. It is told at the client itself.
    Lost(Command),
}

/// When processes were started that have run for long.
fn long_ago() -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(86_400)).unwrap_or(now)
}

impl Life {
    fn of_one_that_never_stopped(server: usize) -> Self {
        Self {
            run_id: format!("{server}-1"),
            uptime: long_ago().elapsed(),
            was_replica: false,
        }
    }

    /// What the server answers to INFO.
    ///
    /// A replica that was promoted long enough ago, or whose backlog was freed at once, no longer reports the history before.
    pub(super) fn info(&self) -> String {
        format!(
            "redis_version:7.0.15\r\nrun_id:{}\r\nuptime_in_seconds:{}\r\nrole:master\r\nmaster_replid:{}\r\n\
             master_replid2:{:040}\r\ntotal_net_repl_input_bytes:{}\r\n",
            self.run_id,
            self.uptime.as_secs(),
            self.run_id,
            0,
            if self.was_replica { 269 } else { 0 },
        )
    }
}

impl Network {
    pub(super) fn new(plan: &Plan, rng: SmallRng) -> Self {
        let nodes = plan.servers.iter().map(|plan| {
            let server = testing::MemoryServer::new();
            server.set_clock_rate(plan.rate);
            server.set_clock_ahead(plan.ahead);
            Node {
                server,
                is_running: true,
                is_frozen: false,
                life: 1,
                // So that a restart guard lets them vote.
                started: long_ago(),
                replica: None,
                was_replica: false,
                tracked: Vec::new(),
            }
        });
        Self {
            nodes: nodes.collect(),
            wires: Vec::new(),
            messages: BinaryHeap::new(),
            waiting: BTreeMap::new(),
            blocked: BTreeSet::new(),
            dead: BTreeSet::new(),
            reach: BTreeMap::new(),
            crossings: Vec::new(),
            rest: Vec::new(),
            left: Vec::new(),
            lost_sets: BTreeMap::new(),
            sent: 0,
            latency: plan.latency,
            waker: None,
            rng,
            broken: Broken::default(),
        }
    }

    pub(super) fn server_named(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.server.name() == name)
    }

    /// Hands out what is on its way when a run is over, to be dropped.
    pub(super) fn take_rest(&mut self) -> impl Sized + use<> {
        let commands = self.wires.iter_mut().map(|wire| std::mem::take(&mut wire.unanswered));
        (
            commands.collect::<Vec<_>>(),
            std::mem::take(&mut self.messages),
            std::mem::take(&mut self.rest),
            std::mem::take(&mut self.waiting),
            std::mem::take(&mut self.lost_sets),
        )
    }

    /// How many connections a client has.
    pub(super) fn connections(&self, client: Process) -> usize {
        let of_client = self.wires.iter().filter(|wire| wire.client == client);
        of_client.filter(|wire| wire.client_has_it).count()
    }
}

impl What {
    /// Whether this is an unlock.
    fn unlocks(&self) -> bool {
        matches!(self, Self::Run(_, operations) if operations.iter().any(|operation| operation.verb == Verb::Unlock))
    }
}

impl Message {
    fn is_request(&self) -> bool {
        !matches!(self.what, What::Back(_))
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Message {}

impl PartialOrd for Message {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Message {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}
