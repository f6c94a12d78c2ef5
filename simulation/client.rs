//! What clients do: they lock, wait, renew, hold, hand over, give up and forget, by chance.

use super::{
    history::{Bits, Happened, How, News, Request, Value},
    nemesis,
    plan::LONGEST_PAUSE,
    tasks::Process,
    world,
};
use crate::{
    AcquireRequest, Event, Guard, Lock, LockError, LockRequest, Loss, Ownership, Redlock, RenewError, Retry,
    ServerVote, UsingError, Vote,
};
use rand::{Rng, rngs::SmallRng, seq::SliceRandom};
use std::{
    future::{Future, IntoFuture},
    sync::Arc,
    time::Duration,
};
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt;

/// What one client gives another, so that it goes on with the lock.
pub(super) struct Parts {
    resources: Vec<String>,
    value: Arc<str>,
    token: Option<u64>,
}

/// A lock that a client has. When the value is dropped it has it no more.
struct Holding {
    value: Value,
    held: Option<Held>,
    is_noted: bool,
}

enum Held {
    Lock(Lock),
    Guard(Guard),
}

/// Starts a client with a handle and workers of its own.
pub(super) fn start() {
    let world = world();
    if world.is_healed.get() {
        return;
    }
    let client = Process(world.processes.replace(world.processes.get() + 1));
    let plan = &world.plan;
    let servers: Vec<_> = world
        .network
        .borrow()
        .nodes
        .iter()
        .map(|node| node.server.clone())
        .collect();
    let mut builder = Redlock::builder()
        .servers(servers)
        .id(format!("c{}", client.0))
        .drift(plan.drift)
        .heartbeat_interval(plan.heartbeat)
        .heartbeat_timeout(plan.heartbeat)
        .reconnect(Duration::from_millis(20), LONGEST_PAUSE);
    if plan.fenced {
        builder = builder.fenced();
    }
    if let Some(max_ttl) = plan.restart_guard {
        builder = builder.restart_guard(max_ttl);
    }
    let redlock = world.tasks.act_as(client, || builder.build()).unwrap();
    world.network.borrow_mut().watch(client);
    nemesis::note_reached();
    client.spawn(listen(client, redlock.events()));
    for _ in 0..plan.workers {
        client.spawn(work(client, redlock.clone()));
    }
    world.clients.borrow_mut().insert(client, redlock);
}

/// Ends a process at once: nothing more is sent.
pub(super) fn kill(client: Process) {
    let world = world();
    let handle = world.clients.borrow_mut().remove(&client);
    world.network.borrow_mut().kill(client);
    world.tasks.kill(client);
    world.tasks.act_as(client, || drop(handle));
    world.tasks.kill(client);
}

/// Closes a handle while it is in use.
pub(super) fn close(client: Process) {
    let world = world();
    let Some(handle) = world.clients.borrow_mut().remove(&client) else {
        return;
    };
    world.network.borrow_mut().forget(client);
    world.closing.set(world.closing.get() + 1);
    client.spawn(async move {
        handle.close().await;
        let world = super::world();
        world.closing.set(world.closing.get() - 1);
        world.closed.borrow_mut().push(client);
    });
}

async fn listen(client: Process, mut events: crate::Events) {
    while let Some(event) = events.next().await {
        let world = world();
        let number = |address: &crate::Address| world.server_at(address.as_str());
        let news = match &event {
            Event::ServerUp { server, .. } => News::Up(number(server)),
            Event::ServerDown { server, .. } => News::Down(number(server)),
            Event::Connected(_) => News::Connected,
            Event::Disconnected(_) => News::Disconnected,
            _ => continue,
        };
        world.note(Happened::Told { client, news });
    }
    world().note(Happened::Told {
        client,
        news: News::Closed,
    });
}

async fn work(client: Process, redlock: Redlock) {
    let _busy = Busy::new();
    loop {
        let think = world().dice(|rng| if rng.gen_bool(0.5) { 0 } else { rng.gen_range(0..300) });
        sleep(Duration::from_millis(think)).await;
        if world().is_healed.get() || !world().clients.borrow().contains_key(&client) {
            break;
        }
        let handed = world().handed.borrow_mut().pop();
        match handed {
            Some(parts) => take_over(client, &redlock, parts).await,
            None => match world().dice(|rng| rng.gen_range(0..20)) {
                0 => look(&redlock).await,
                1 => use_it(client, &redlock).await,
                2..=10 => lock(client, &redlock).await,
                _ => acquire(client, &redlock).await,
            },
        }
    }
}

/// Counts the workers that are not done.
struct Busy;

impl Busy {
    fn new() -> Self {
        let world = world();
        world.busy.set(world.busy.get() + 1);
        Self
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(world) = super::find_world() {
            world.busy.set(world.busy.get() - 1);
        }
    }
}

fn choose_resources() -> (Vec<String>, Bits) {
    let world = world();
    let resources = world.plan.resources;
    let numbers: Vec<usize> = match world.dice(|rng| rng.gen_range(0..6)) {
        0 => (0..resources).collect(),
        _ => vec![world.dice(|rng| rng.gen_range(0..resources))],
    };
    let names = numbers.iter().map(|number| format!("r{number}")).collect();
    (names, Bits::of(numbers))
}

async fn lock(client: Process, redlock: &Redlock) {
    let world = world();
    let (names, resources) = choose_resources();
    let ttl = world.plan.ttl;
    let tries = world.dice(|rng| *[0, 0, 3].choose(rng).unwrap_or(&0));
    let request: LockRequest = redlock.lock(&names, ttl).retry(Retry::new(tries, ttl / 8));
    let asked = world.asked(client, "lock", resources, None);
    match perhaps(request.into_future()).await {
        None => world.failed(asked, "cancelled"),
        Some(Err(error)) => {
            note_error(asked, &error);
        }
        Some(Ok(lock)) => {
            let holding = Holding::of_lock(client, asked, lock);
            hold_lock(redlock, holding, &names).await;
        }
    }
}

async fn take_over(client: Process, redlock: &Redlock, parts: Parts) {
    let world = world();
    let mut lock = Lock::from_parts(&parts.resources, &*parts.value);
    if let Some(token) = parts.token {
        lock = lock.with_token(token);
    }
    let numbers = parts.resources.iter().filter_map(|name| name[1..].parse().ok());
    let asked = world.asked(client, "take over", Bits::of(numbers), None);
    match redlock.renew(&lock, world.plan.ttl).await {
        Ok(lock) => {
            let holding = Holding::of_lock(client, asked, lock);
            hold_lock(redlock, holding, &parts.resources).await;
        }
        Err(error) => {
            world.failed(asked, error.name());
            let _ = redlock.unlock(&lock).await;
        }
    }
}

/// Holds a lock for a while, perhaps renews it, and ends that in one of several ways.
async fn hold_lock(redlock: &Redlock, mut holding: Holding, names: &[String]) {
    let world = world();
    let ttl = world.plan.ttl;
    let renewals = world.dice(|rng| *[0, 0, 1, 3].choose(rng).unwrap_or(&0));
    for _ in 0..renewals {
        // Some come too late.
        sleep(world.dice(|rng| while_held(rng, ttl, 1.3))).await;
        let Some(Held::Lock(lock)) = &holding.held else { break };
        let asked = world.asked(Process(0), "renew", Bits::default(), None);
        match perhaps(redlock.renew(lock, ttl).into_future()).await {
            Some(Ok(lock)) => holding.renewed(asked, lock),
            Some(Err(error)) => {
                world.failed(asked, error.name());
                if matches!(error, RenewError::Lost { .. } | RenewError::Closed) {
                    break;
                }
            }
            None => world.failed(asked, "cancelled"),
        }
    }
    sleep(world.dice(|rng| while_held(rng, ttl, 0.7))).await;
    match world.dice(|rng| rng.gen_range(0..10)) {
        0..=5 => {
            let Some(Held::Lock(lock)) = &holding.held else { return };
            let unlocking = redlock.unlock(lock);
            holding.end(How::Unlocked);
            if world.dice(|rng| rng.gen_bool(0.5)) {
                unlocking.await;
            }
        }
        6 if !world.is_healed.get() => {
            let Some(Held::Lock(lock)) = &holding.held else { return };
            let parts = Parts {
                resources: names.to_vec(),
                value: Arc::clone(lock.shared_value()),
                token: lock.token(),
            };
            holding.end(How::HandedOver);
            world.handed.borrow_mut().push(parts);
        }
        _ => {
            let left = holding.valid_for();
            holding.end(How::Abandoned);
            sleep(left).await;
        }
    }
}

async fn acquire(client: Process, redlock: &Redlock) {
    let world = world();
    let (names, resources) = choose_resources();
    let ttl = world.plan.ttl;
    let mut request: AcquireRequest = redlock.acquire(&names, ttl);
    let within = world.dice(|rng| {
        rng.gen_bool(0.4)
            .then(|| Duration::from_millis(rng.gen_range(0..2_000)))
    });
    if let Some(within) = within {
        request = request.within(within);
    }
    let asked = world.asked(client, "acquire", resources, within);
    match perhaps(request.into_future()).await {
        None => world.failed(asked, "cancelled"),
        Some(Err(error)) => note_error(asked, &error),
        Some(Ok(guard)) => hold_guard(redlock, Holding::of_guard(client, asked, guard)).await,
    }
}

/// Asks who holds something. Whatever the answer is, it must come.
async fn look(redlock: &Redlock) {
    let (names, resources) = choose_resources();
    let asked = world().asked(Process(0), "look", resources, None);
    let owner = perhaps(redlock.owner(&names).into_future()).await;
    let what = match owner {
        None => "cancelled",
        Some(Ok(Ownership::Held(_))) => "somebody's",
        Some(Ok(_)) => "nobody's",
        Some(Err(_)) => "closed",
    };
    world().failed(asked, what);
}

/// Holds something for as long as some work takes.
async fn use_it(client: Process, redlock: &Redlock) {
    let world = world();
    let (names, resources) = choose_resources();
    let ttl = world.plan.ttl;
    let asked = world.asked(client, "use", resources, None);
    let work = async |guard: &Guard| {
        // Only what is valid now is sure; the work is dropped when the lock is lost.
        let _holding = Holding::of_lock(client, asked, guard.lock());
        sleep(super::world().dice(|rng| while_held(rng, ttl, 2.0))).await;
    };
    match perhaps(redlock.using(&names, ttl, work)).await {
        None => world.failed(asked, "cancelled"),
        Some(Err(UsingError::Lock(error))) => note_error(asked, &error),
        Some(_) => {}
    }
}

async fn hold_guard(redlock: &Redlock, mut holding: Holding) {
    let world = world();
    let lasts = world
        .plan
        .ttl
        .mul_f64(world.dice(|rng| *[0.0, 0.2, 1.0, 2.5].choose(rng).unwrap_or(&0.0)));
    let Some(Held::Guard(guard)) = &holding.held else {
        return;
    };
    let loss: Result<Loss, _> = timeout(lasts, guard.lost()).await;
    if loss.is_ok() {
        holding.end(How::Lost);
        return;
    }
    match world.dice(|rng| rng.gen_range(0..4)) {
        0 => holding.end(How::Unlocked),
        1 => {
            holding.note_end(How::Unlocked);
            let Some(Held::Guard(guard)) = holding.held.take() else {
                return;
            };
            let lock = guard.into_lock();
            redlock.unlock(&lock);
        }
        _ => {
            holding.note_end(How::Unlocked);
            let Some(Held::Guard(guard)) = holding.held.take() else {
                return;
            };
            let _ = guard.release().await;
        }
    }
}

/// How long something is held: a part of the ttl, up to all of it and more if that is not too long.
fn while_held(rng: &mut SmallRng, ttl: Duration, most: f64) -> Duration {
    ttl.min(Duration::from_millis(1_500)).mul_f64(rng.gen_range(0.0..most))
}

/// Lets a future come to its end, or drops it before: after some time, or after some polls.
async fn perhaps<T>(future: impl Future<Output = T>) -> Option<T> {
    let give_up = world().dice(|rng| match rng.gen_range(0..8) {
        0 => Some((Duration::from_millis(rng.gen_range(0..200)), u32::MAX)),
        1 => Some((Duration::from_secs(3_600), rng.gen_range(1..6))),
        _ => None,
    });
    let Some((after, polls)) = give_up else {
        return Some(future.await);
    };
    let mut future = Box::pin(future);
    let mut left = polls;
    let polled = std::future::poll_fn(|cx| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        if left == 0 {
            cx.waker().wake_by_ref();
        }
        future.as_mut().poll(cx).map(Some)
    });
    timeout(after, polled).await.ok().flatten()
}

fn note_error(asked: Request, error: &LockError) {
    let world = world();
    world.failed(asked, error.name());
    if let LockError::Held { failure, .. } = error {
        let is_silent = |vote: &&ServerVote| matches!(vote.vote, Vote::Unreachable(_) | Vote::Unknown | Vote::Silent);
        let silent = failure.votes.iter().filter(is_silent).count();
        if failure.votes.len() - silent < failure.needed {
            world.note(Happened::Wrong(
                "a resource is said to be held while no majority can be reached",
            ));
        }
    }
}

impl Holding {
    fn of_lock(client: Process, asked: Request, lock: Lock) -> Self {
        Self::new(client, asked, Held::Lock(lock))
    }

    fn of_guard(client: Process, asked: Request, guard: Guard) -> Self {
        Self::new(client, asked, Held::Guard(guard))
    }

    fn new(client: Process, request: Request, held: Held) -> Self {
        let world = world();
        let lock = held.lock();
        let mut history = world.history.borrow_mut();
        let value = history.value(lock.shared_value());
        let valid_until = history.millis(lock.valid_until());
        history.note(Happened::Granted {
            request,
            client,
            value,
            token: lock.token(),
            valid_until,
        });
        Self {
            value,
            held: Some(held),
            is_noted: false,
        }
    }

    fn renewed(&mut self, request: Request, lock: Lock) {
        let world = world();
        let mut history = world.history.borrow_mut();
        let valid_until = history.millis(lock.valid_until());
        history.note(Happened::Renewed {
            request,
            value: self.value,
            valid_until,
        });
        drop(history);
        self.held = Some(Held::Lock(lock));
    }

    fn valid_for(&self) -> Duration {
        self.held.as_ref().map_or(Duration::ZERO, |held| held.lock().validity())
    }

    fn note_end(&mut self, how: How) {
        // A run that is over takes no notes.
        let (Some(world), Some(held)) = (super::find_world(), &self.held) else {
            return;
        };
        if std::mem::replace(&mut self.is_noted, true) {
            return;
        }
        let mut history = world.history.borrow_mut();
        let valid_until = history.millis(held.lock().valid_until());
        history.note(Happened::Ended {
            value: self.value,
            how,
            valid_until,
        });
    }

    fn end(mut self, how: How) {
        self.note_end(how);
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.note_end(How::Killed);
    }
}

impl Held {
    fn lock(&self) -> Lock {
        match self {
            Self::Lock(lock) => lock.clone(),
            Self::Guard(guard) => guard.lock(),
        }
    }
}
