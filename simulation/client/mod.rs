//! What clients do: they lock, wait, renew, hold, hand over, give up and forget, by chance.

mod guards;
mod holding;
mod locks;

pub(super) use locks::Parts;

use super::{
    history::{Bits, Happened, News, Request},
    nemesis,
    plan::LONGEST_PAUSE,
    tasks::Process,
    world,
};
use crate::{
    ConfigError, Drift, LockError, Redlock,
    error::{ServerVote, Vote},
    event::Event,
    status::Ownership,
};
use rand::{Rng, rngs::SmallRng};
use std::{future::Future, time::Duration};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::StreamExt;

/// For how long a client is greedy.
const GREEDY: Duration = Duration::from_secs(2);

/// Starts a process with a client and workers of its own.
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
        .drift(if world.network.borrow().broken.drift_ignored {
            Drift::factor(0.0).unwrap()
        } else {
            plan.drift
        })
        .heartbeat_interval(plan.heartbeat)
        .heartbeat_timeout(plan.heartbeat)
        .reconnect(Duration::from_millis(20), LONGEST_PAUSE);
    if plan.fenced {
        builder = builder.fenced();
    }
    if plan.forgets_tokens {
        builder = builder.fence_expiry(shortest_fence_expiry(plan.longest));
    }
    if plan.remembers {
        builder = builder.remember(8);
    }
    if let Some(max_ttl) = plan.restart_guard {
        builder = builder.restart_guard(max_ttl);
    }
    let redlock = world.tasks.act_as(client, || builder.build()).unwrap();
    world.network.borrow_mut().watch(client);
    nemesis::note_reached();
    client.spawn(listen(client, redlock.events()));
    let greed = plan.greed.filter(|_| world.dice(|rng| rng.gen_bool(0.6)));
    for number in 0..plan.workers {
        client.spawn(work(client, redlock.clone(), greed.filter(|_| number == 0)));
    }
    world.clients.borrow_mut().insert(client, redlock);
}

/// The shortest fence expiry that the builder accepts for locks of this TTL.
fn shortest_fence_expiry(ttl: Duration) -> Duration {
    match Redlock::builder().id("none").fence_expiry(ttl).check() {
        Err(ConfigError::ShortFenceExpiry { shortest, .. }) => shortest.max(ttl),
        _ => ttl,
    }
}

/// Ends a process at once: nothing more is sent.
pub(super) fn kill(client: Process) {
    let world = world();
    let redlock = world.clients.borrow_mut().remove(&client);
    world.network.borrow_mut().kill(client);
    world.tasks.kill(client);
    world.tasks.act_as(client, || drop(redlock));
    world.tasks.kill(client);
}

/// Closes a client while it is in use.
pub(super) fn close(client: Process) {
    let world = world();
    let Some(redlock) = world.clients.borrow_mut().remove(&client) else {
        return;
    };
    world.network.borrow_mut().forget(client);
    world.closing.set(world.closing.get() + 1);
    client.spawn(async move {
        redlock.close().await;
        let world = super::world();
        world.closing.set(world.closing.get() - 1);
        world.closed.borrow_mut().push(client);
    });
}

async fn listen(client: Process, mut events: crate::event::Events) {
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

async fn work(client: Process, redlock: Redlock, greed: Option<Duration>) {
    let _busy = Busy::new();
    if world().plan.is_crowded {
        guards::take_turns(client, &redlock).await;
        return;
    }
    match greed {
        Some(hold) if world().plan.greedy_locks => locks::lock_again_at_once(client, &redlock, hold).await,
        Some(hold) => guards::lock_again_at_once(client, &redlock, hold).await,
        None => {}
    }
    loop {
        let is_calm = world().plan.is_calm;
        // Some rest for so long that it shows whether those who wait are served.
        let think = world().dice(|rng| match rng.gen_range(0..8) {
            0..=3 => 0,
            4 | 5 if is_calm => rng.gen_range(800..2_500),
            _ => rng.gen_range(0..300),
        });
        sleep(Duration::from_millis(think)).await;
        if world().is_healed.get() || !world().clients.borrow().contains_key(&client) {
            break;
        }
        let handed = world().handed.borrow_mut().pop();
        match handed {
            Some(parts) => locks::take_over(client, &redlock, parts).await,
            None => match world().dice(|rng| rng.gen_range(0..20)) {
                0 => {
                    locks::lock_a_fence(&redlock).await;
                    look(&redlock).await;
                }
                1 => guards::use_it(client, &redlock).await,
                2..=10 => locks::lock(client, &redlock).await,
                _ => guards::acquire(client, &redlock).await,
            },
        }
    }
}

/// Whether a client that has been greedy since then goes on so.
fn is_greedy(client: Process, since: Instant) -> bool {
    since.elapsed() < GREEDY && world().clients.borrow().contains_key(&client)
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

/// Asks who holds something. Whatever the answer is, it must come.
async fn look(redlock: &Redlock) {
    let (names, resources) = choose_resources();
    let asked = world().asked(Process(0), "look", resources, None);
    let owner = perhaps(redlock.owner(&names)).await;
    let what = match owner {
        None => "cancelled",
        Some(Ok(Ownership::Held(_))) => "somebody's",
        Some(Ok(_)) => "nobody's",
        Some(Err(_)) => "closed",
    };
    world().failed(asked, what);
}

/// How long something is held: a part of the ttl, up to all of it and more if that is not too long. While all is calm it is held for
/// shorter, so that the next ones race for it more often.
fn while_held(rng: &mut SmallRng, ttl: Duration, most: f64) -> Duration {
    let longest = if world().plan.is_calm { 300 } else { 1_500 };
    ttl.min(Duration::from_millis(longest))
        .mul_f64(rng.gen_range(0.0..most))
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
    world.failed(asked, error.kind().as_str());
    if let LockError::Held { failure, .. } = error {
        let is_silent =
            |vote: &&ServerVote| matches!(vote.vote, Vote::Unreachable(_) | Vote::OutcomeUnknown | Vote::TimedOut);
        let silent = failure.votes.iter().filter(is_silent).count();
        if failure.votes.len() - silent < failure.needed {
            world.note(Happened::Wrong(
                "a resource is said to be held while no majority can be reached",
            ));
        }
    }
}
