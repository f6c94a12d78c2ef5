//! The ways between clients and servers. On each connection messages keep their order; each takes its own time.
//!
//! A message waits where it cannot go on: at a way that is blocked, at a server that is frozen, at a client that is paused.

use super::{
    Rules,
    history::{Bits, Did, Happened, History},
    plan::{LONGEST_RESUMPTION, Plan},
    tasks::Process,
    world,
};
use crate::{
    server::{
        DownReason, Operation, Verb,
        link::{Answer, Change, Command, Outcome, Task},
        memory::MemoryServer,
    },
    testing,
};
use rand::{Rng, rngs::SmallRng};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::{Instant, sleep_until},
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
    sent: u64,
    latency: (u64, u64),
    waker: Option<Waker>,
    rng: SmallRng,
    pub(super) rules: Rules,
}

/// A server, and how its process is.
pub(super) struct Node {
    pub(super) server: MemoryServer,
    is_running: bool,
    is_frozen: bool,
    life: u64,
    started: Instant,
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
                // Long ago, so that a restart guard lets them vote.
                started: Instant::now()
                    .checked_sub(Duration::from_secs(86_400))
                    .unwrap_or_else(Instant::now),
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
            sent: 0,
            latency: plan.latency,
            waker: None,
            rng,
            rules: Rules::default(),
        }
    }

    pub(super) fn server_named(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.server.name() == name)
    }

    // What clients do.

    pub(super) fn open(&mut self, client: Process, server: usize) -> Opened {
        let (welcome, welcomed) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (tell, feed) = mpsc::unbounded_channel();
        let now = Instant::now();
        let wire = self.wires.len();
        self.wires.push(Wire {
            client,
            server,
            life: self.nodes[server].life,
            client_has_it: true,
            server_has_it: true,
            is_cut: false,
            used_since: None,
            last_to: now,
            last_from: now,
            commands: 0,
            unanswered: BTreeMap::new(),
            pings: BTreeMap::new(),
            welcome: Some(welcome),
            ended: Some(end),
            feed: Some(tell),
            told: None,
        });
        self.send(wire, What::Hello);
        Opened {
            wire,
            welcome: welcomed,
            ended,
            feed,
        }
    }

    pub(super) fn submit(&mut self, wire: usize, command: Command, history: &mut History) {
        if self.dead.contains(&self.wires[wire].client) {
            self.rest.push(What::Back(Reply::Lost(command)));
            return;
        }
        let Wire {
            client,
            server,
            client_has_it,
            ..
        } = self.wires[wire];
        for operation in command.operations.iter() {
            let value = history.value(&operation.value);
            let idle = match operation.verb {
                Verb::Lock => self.idle(client, operation.submitted()),
                _ => Bits::default(),
            };
            history.note(Happened::Sent {
                client,
                server,
                verb: operation.verb,
                value,
                idle,
            });
        }
        if !client_has_it {
            self.lose(wire, command);
            return;
        }
        let operations = Arc::clone(&command.operations);
        let number = {
            let wire = &mut self.wires[wire];
            wire.used_since.get_or_insert_with(Instant::now);
            wire.commands += 1;
            wire.unanswered.insert(wire.commands, command);
            wire.commands
        };
        self.send(wire, What::Run(number, operations));
    }

    /// To which servers a client can send at once, and could when an operation was submitted.
    fn idle(&self, client: Process, submitted: Instant) -> Bits {
        let of_client = self
            .wires
            .iter()
            .filter(|wire| wire.client == client && wire.client_has_it);
        let idle = of_client.filter(|wire| wire.used_since.is_some_and(|since| since < submitted));
        Bits::of(idle.filter(|wire| wire.unanswered.is_empty()).map(|wire| wire.server))
    }

    pub(super) fn track(&mut self, wire: usize, done: Box<dyn FnOnce(bool) + Send>) {
        self.send(wire, What::Track(done));
    }

    pub(super) fn ping(&mut self, wire: usize) -> Task<Result<Vec<u64>, DownReason>> {
        let (pong, told) = oneshot::channel();
        let here = &mut self.wires[wire];
        here.used_since.get_or_insert_with(Instant::now);
        here.commands += 1;
        let number = here.commands;
        if here.client_has_it {
            here.pings.insert(number, pong);
        }
        self.send(wire, What::Ping(number));
        Box::pin(async move {
            match told.await {
                Ok(time) => Ok(vec![time]),
                Err(_) => Err(DownReason::ConnectionLost),
            }
        })
    }

    /// Ends a connection at the client. What is on its way to the server may still arrive there.
    pub(super) fn end(&mut self, wire: usize) {
        let ended = &mut self.wires[wire];
        if !std::mem::replace(&mut ended.client_has_it, false) {
            return;
        }
        ended.feed = None;
        ended.welcome = None;
        ended.ended = None;
        ended.pings.clear();
        let lost = std::mem::take(&mut ended.unanswered);
        for command in lost.into_values() {
            self.lose(wire, command);
        }
        if self.rng.gen_bool(0.5) {
            self.drop_some(wire);
        }
    }

    fn lose(&mut self, wire: usize, command: Command) {
        self.push(Instant::now(), wire, What::Back(Reply::Lost(command)));
    }

    // What happens to them.

    pub(super) fn crash(&mut self, server: usize, is_forgetful: bool) {
        let node = &mut self.nodes[server];
        node.is_running = false;
        node.is_frozen = false;
        node.tracked.clear();
        node.server.crash();
        if is_forgetful {
            node.server.forget_all();
        }
        self.note_reach();
        self.release(Gate::Frozen(server));
        for wire in 0..self.wires.len() {
            let of_server = &mut self.wires[wire];
            if of_server.server == server && std::mem::replace(&mut of_server.server_has_it, false) {
                // Unless the whole machine is gone, it says so.
                if self.rng.gen_bool(0.7) {
                    self.send(wire, What::Back(Reply::Reset));
                }
            }
        }
    }

    pub(super) fn restart(&mut self, server: usize) {
        let node = &mut self.nodes[server];
        if !node.is_running {
            node.server.restart();
            node.is_running = true;
            node.life += 1;
            node.started = Instant::now();
            self.note_reach();
        }
    }

    pub(super) fn freeze(&mut self, server: usize) {
        self.nodes[server].is_frozen = true;
        self.note_reach();
    }

    pub(super) fn thaw(&mut self, server: usize) {
        self.nodes[server].is_frozen = false;
        self.note_reach();
        self.release(Gate::Frozen(server));
    }

    pub(super) fn block(&mut self, gate: Gate) {
        self.blocked.insert(gate);
        self.note_reach();
    }

    pub(super) fn unblock(&mut self, gate: Gate) {
        self.blocked.remove(&gate);
        self.note_reach();
        // What comes through now, though it was sent long ago, is a sign of life.
        if let Gate::To(server, client) | Gate::From(server, client) = gate
            && let Some((false, since)) = self.reach.get_mut(&(client, server))
        {
            *since = Instant::now();
        }
        self.release(gate);
    }

    /// Breaks the connections between a client and a server. Some of what was on its way is gone, and the client may not be
    /// told.
    pub(super) fn cut(&mut self, client: Process, server: usize, is_told: bool) {
        if let Some((true, since)) = self.reach.get_mut(&(client, server)) {
            *since = Instant::now();
            self.crossings.extend([(client, server, false), (client, server, true)]);
        }
        for wire in 0..self.wires.len() {
            let cut = &mut self.wires[wire];
            if cut.client == client && cut.server == server && cut.client_has_it && cut.server_has_it {
                self.drop_some(wire);
                self.wires[wire].is_cut = true;
                if is_told {
                    self.send(wire, What::Back(Reply::Reset));
                }
            }
        }
    }

    /// Drops what was sent last on a connection and has not arrived.
    fn drop_some(&mut self, wire: usize) {
        let mut numbers: Vec<u64> = Vec::new();
        let is_request = |message: &Message| message.wire == wire && message.is_request();
        let on_its_way = self.messages.iter().map(|Reverse(message)| message);
        let all = on_its_way.chain(self.waiting.values().flatten());
        numbers.extend(all.filter(|message| is_request(message)).map(|message| message.number));
        numbers.sort_unstable();
        if numbers.is_empty() {
            return;
        }
        let first = numbers[self.rng.gen_range(0..numbers.len())];
        let goes = |message: &Message| is_request(message) && message.number >= first;
        let (gone, stay): (Vec<_>, Vec<_>) = self.messages.drain().partition(|Reverse(message)| goes(message));
        self.messages.extend(stay);
        self.rest.extend(gone.into_iter().map(|Reverse(message)| message.what));
        for waiting in self.waiting.values_mut() {
            let (gone, stay) = std::mem::take(waiting).into_iter().partition(|message| goes(message));
            *waiting = stay;
            let gone: Vec<Message> = gone;
            self.rest.extend(gone.into_iter().map(|message| message.what));
        }
    }

    pub(super) fn kill(&mut self, client: Process) {
        self.dead.insert(client);
        self.forget(client);
        for wire in 0..self.wires.len() {
            if self.wires[wire].client == client {
                self.end(wire);
            }
        }
    }

    /// A client goes on after a pause: what waited for it arrives, and only now can it notice anything.
    pub(super) fn resumed(&mut self, client: Process) {
        let now = Instant::now();
        for ((process, _), (_, since)) in &mut self.reach {
            if *process == client {
                *since = now;
            }
        }
        self.release(Gate::Paused(client));
    }

    pub(super) fn watch(&mut self, client: Process) {
        for server in 0..self.nodes.len() {
            self.reach.insert((client, server), (false, Instant::now()));
        }
        self.note_reach();
    }

    /// Looks no more at whether a client reaches its servers.
    pub(super) fn forget(&mut self, client: Process) {
        self.reach.retain(|(process, _), _| *process != client);
    }

    fn note_reach(&mut self) {
        let now = Instant::now();
        for ((client, server), (is_reached, since)) in &mut self.reach {
            let node = &self.nodes[*server];
            let is_blocked = |gate| self.blocked.contains(&gate);
            let is_free = !is_blocked(Gate::To(*server, *client)) && !is_blocked(Gate::From(*server, *client));
            let now_reached = node.is_running && !node.is_frozen && is_free;
            if *is_reached != now_reached {
                (*is_reached, *since) = (now_reached, now);
                self.crossings.push((*client, *server, now_reached));
            }
        }
    }

    /// Whether a client can reach a server, and for how long that has been so.
    pub(super) fn reach(&self, client: Process, server: usize) -> Option<(bool, Duration)> {
        let (is_reached, since) = self.reach.get(&(client, server))?;
        Some((*is_reached, since.elapsed()))
    }

    /// Hands out what is on its way when a run is over, to be dropped.
    pub(super) fn take_rest(&mut self) -> impl Sized + use<> {
        let commands = self.wires.iter_mut().map(|wire| std::mem::take(&mut wire.unanswered));
        (
            commands.collect::<Vec<_>>(),
            std::mem::take(&mut self.messages),
            std::mem::take(&mut self.rest),
            std::mem::take(&mut self.waiting),
        )
    }

    /// How many connections a client has.
    pub(super) fn connections(&self, client: Process) -> usize {
        let of_client = self.wires.iter().filter(|wire| wire.client == client);
        of_client.filter(|wire| wire.client_has_it).count()
    }

    // How messages travel.

    fn send(&mut self, wire: usize, what: What) {
        let is_request = !matches!(what, What::Back(_));
        let is_cut = self.wires[wire].is_cut && !matches!(what, What::Back(Reply::Reset));
        if is_cut || is_request && self.dead.contains(&self.wires[wire].client) {
            self.rest.push(what);
            return;
        }
        let (least, more) = self.latency;
        // Most are quick.
        let more = if self.rng.gen_bool(0.8) { more / 4 } else { more };
        let takes = Duration::from_millis(self.rng.gen_range(least..=least + more));
        let wire_of = &mut self.wires[wire];
        let last_due = if is_request {
            &mut wire_of.last_to
        } else {
            &mut wire_of.last_from
        };
        *last_due = (*last_due).max(Instant::now() + takes);
        let due = *last_due;
        self.push(due, wire, what);
    }

    fn push(&mut self, due: Instant, wire: usize, what: What) {
        self.sent += 1;
        self.messages.push(Reverse(Message {
            due,
            number: self.sent,
            wire,
            what,
        }));
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Lets messages go on that waited, each connection's after a time of its own: what was lost is sent again when the
    /// machines come to it.
    fn release(&mut self, gate: Gate) {
        let longest = match gate {
            Gate::To(..) | Gate::From(..) => LONGEST_RESUMPTION,
            Gate::Frozen(_) => Duration::from_millis(2),
            Gate::Paused(_) => Duration::ZERO,
        };
        let now = Instant::now();
        let waited = self.waiting.remove(&gate).unwrap_or_default();
        let mut resumes = BTreeMap::new();
        for message in &waited {
            let takes = || now + longest.mul_f64(self.rng.gen_range(0.0..=1.0));
            resumes
                .entry((message.wire, message.is_request()))
                .or_insert_with(takes);
        }
        for ((wire, is_request), due) in &resumes {
            let wire = &mut self.wires[*wire];
            let last_due = if *is_request {
                &mut wire.last_to
            } else {
                &mut wire.last_from
            };
            *last_due = (*last_due).max(*due);
        }
        // Those behind them stay behind them.
        let on_their_way = self
            .messages
            .drain()
            .map(|Reverse(message)| message)
            .collect::<Vec<_>>();
        self.messages
            .extend(waited.into_iter().chain(on_their_way).map(|mut message| {
                if let Some(due) = resumes.get(&(message.wire, message.is_request())) {
                    message.due = message.due.max(*due);
                }
                Reverse(message)
            }));
        self.wake();
    }

    /// Takes the next message that arrives by now, or says when one does.
    fn next(&mut self, now: Instant) -> Result<Message, Option<Instant>> {
        while let Some(Reverse(first)) = self.messages.peek() {
            if first.due > now {
                return Err(Some(first.due));
            }
            let Some(Reverse(message)) = self.messages.pop() else {
                break;
            };
            match self.stops_at(&message) {
                Some(gate) => self.waiting.entry(gate).or_default().push(message),
                None => return Ok(message),
            }
        }
        Err(None)
    }

    fn stops_at(&self, message: &Message) -> Option<Gate> {
        let Wire { client, server, .. } = self.wires[message.wire];
        let gates = match message.what {
            What::Back(Reply::Lost(_)) => [None, Some(Gate::Paused(client))],
            What::Back(_) => [Some(Gate::From(server, client)), Some(Gate::Paused(client))],
            _ => [Some(Gate::To(server, client)), Some(Gate::Frozen(server))],
        };
        gates.into_iter().flatten().find(|gate| match gate {
            Gate::To(..) | Gate::From(..) => self.blocked.contains(gate),
            Gate::Frozen(server) => self.nodes[*server].is_frozen,
            Gate::Paused(client) => world().tasks.is_paused(*client),
        })
    }

    fn arrive(&mut self, wire: usize, what: What, history: &mut History) {
        let Wire {
            client,
            server,
            life,
            server_has_it,
            ..
        } = self.wires[wire];
        let node = &self.nodes[server];
        if matches!(what, What::Hello) && node.is_running {
            self.hello(wire);
            return;
        }
        if !node.is_running || !server_has_it || node.life != life {
            let is_running = node.is_running;
            let reply = if matches!(what, What::Hello) {
                Reply::Refused
            } else {
                Reply::Reset
            };
            // Nobody answers for a machine that is gone, but a process says that it does not know the connection.
            if is_running || matches!(reply, Reply::Refused) {
                self.send(wire, What::Back(reply));
            }
            self.rest.push(what);
            return;
        }
        let connection = wire as u64;
        let reply = match what {
            What::Run(number, operations) => {
                let outcomes: Vec<_> = operations
                    .iter()
                    .map(|operation| {
                        if self.rules.unlocks_anything && operation.verb == Verb::Unlock {
                            operation.keys.as_slice().iter().for_each(|key| node.server.forget(key));
                        }
                        let outcome = node.server.run(operation, connection);
                        let value = history.value(&operation.value);
                        history.note(Happened::Ran {
                            client,
                            server,
                            verb: operation.verb,
                            value,
                            did: Did::from(&outcome),
                        });
                        outcome
                    })
                    .collect();
                Reply::Ran(number, outcomes)
            }
            What::Track(done) => {
                let (tell, told) = broadcast::channel(64);
                node.server.track(connection, tell);
                self.wires[wire].told = Some(told);
                self.nodes[server].tracked.push(wire);
                Reply::Tracked(done)
            }
            What::Ping(number) => Reply::Pong(number, node.server.time()),
            What::Hello | What::Back(_) => return,
        };
        self.send(wire, What::Back(reply));
        self.tell_changes(server);
    }

    fn hello(&mut self, wire: usize) {
        let Wire {
            client,
            server,
            client_has_it,
            ..
        } = self.wires[wire];
        if client_has_it && !self.rules.old_connections_live {
            // A client ends the connection before, whose commands may still be on their way.
            for (number, other) in self.wires.iter_mut().enumerate() {
                if number != wire && other.client == client && other.server == server {
                    other.server_has_it = false;
                    self.nodes[server].server.untrack(number as u64);
                }
            }
        }
        let node = &self.nodes[server];
        let life = Life {
            run_id: format!("{server}-{}", node.life),
            uptime: node.started.elapsed(),
        };
        self.wires[wire].life = node.life;
        self.send(wire, What::Back(Reply::Welcome(life)));
    }

    fn tell_changes(&mut self, server: usize) {
        let tracked = std::mem::take(&mut self.nodes[server].tracked);
        for &wire in &tracked {
            while let Some(Ok(key)) = self.wires[wire].told.as_mut().map(broadcast::Receiver::try_recv) {
                self.send(wire, What::Back(Reply::Changed(key)));
            }
        }
        self.nodes[server].tracked = tracked;
        self.nodes[server]
            .tracked
            .retain(|wire| self.wires[*wire].server_has_it);
    }

    /// Takes in what a server says. What is left to do is done when the network is not borrowed any more.
    fn come_back(&mut self, wire: usize, reply: Reply, history: &mut History) -> Option<Box<dyn FnOnce()>> {
        if let Reply::Lost(command) = reply {
            return Some(Box::new(move || command.answer(Answer::Lost)));
        }
        let Wire {
            client,
            server,
            client_has_it,
            ..
        } = self.wires[wire];
        if !client_has_it {
            self.rest.push(What::Back(reply));
            return None;
        }
        let here = &mut self.wires[wire];
        match reply {
            Reply::Welcome(life) => {
                let _ = here.welcome.take()?.send(Ok(life));
            }
            Reply::Refused => {
                let _ = here.welcome.take()?.send(Err(DownReason::ConnectionRefused));
            }
            Reply::Ran(number, outcomes) => {
                let command = here.unanswered.remove(&number)?;
                for (operation, outcome) in command.operations.iter().zip(&outcomes) {
                    let value = history.value(&operation.value);
                    history.note(Happened::Answered {
                        client,
                        server,
                        verb: operation.verb,
                        value,
                        did: Did::from(outcome),
                    });
                }
                return Some(Box::new(move || command.answer(Answer::Outcomes(outcomes))));
            }
            Reply::Tracked(done) => return Some(Box::new(move || done(true))),
            Reply::Pong(number, time) => {
                let _ = here.pings.remove(&number)?.send(time);
            }
            Reply::Changed(key) => {
                let _ = here.feed.as_ref()?.send(Change::Keys(vec![key[..].into()]));
            }
            Reply::Reset => self.end(wire),
            Reply::Lost(_) => {}
        }
        None
    }
}

/// Carries messages, one a turn.
pub(super) async fn carry() {
    let mut timer = Box::pin(sleep_until(Instant::now()));
    poll_fn(|cx| {
        let world = world();
        let mut network = world.network.borrow_mut();
        match network.next(Instant::now()) {
            Ok(Message { wire, what, .. }) => {
                let mut history = world.history.borrow_mut();
                let rest = match what {
                    What::Back(reply) => network.come_back(wire, reply, &mut history),
                    what => {
                        network.arrive(wire, what, &mut history);
                        None
                    }
                };
                let client = network.wires[wire].client;
                let dropped = std::mem::take(&mut network.rest);
                drop((network, history));
                world.tasks.act_as(client, || drop(dropped));
                if let Some(rest) = rest {
                    world.tasks.act_as(client, rest);
                }
                cx.waker().wake_by_ref();
            }
            Err(next) => {
                network.waker = Some(cx.waker().clone());
                if let Some(next) = next {
                    if timer.deadline() != next {
                        timer.as_mut().reset(next);
                    }
                    if Pin::new(&mut timer).poll(cx).is_ready() {
                        cx.waker().wake_by_ref();
                    }
                }
            }
        }
        Poll::<()>::Pending
    })
    .await;
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
