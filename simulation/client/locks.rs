//! Locks: renewed for as long as before, for less and for more, copied, and handed over.

use super::{
    choose_resources,
    holding::{Held, Holding},
    is_greedy, note_error, perhaps, while_held,
};
use crate::{
    FencingToken, Lock, LockError, Redlock, RenewError, Retry,
    error::{InvalidRequest, InvalidResource},
    future::LockRequest,
    simulation::{
        history::{Bits, Happened, How, Request},
        nemesis,
        tasks::Process,
        world,
    },
};
use rand::{Rng, seq::SliceRandom};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// The longest wait of a greedy client before it tries again.
const GREEDY_RETRY: Duration = Duration::from_millis(20);

/// What one client gives another, so that it goes on with the lock.
pub(in crate::simulation) struct Parts {
    resources: Vec<String>,
    value: Arc<str>,
    token: Option<FencingToken>,
    /// The shortest ttl that anybody asked to renew it for.
    least: Option<Duration>,
}

/// What a lock may be renewed for.
#[derive(Clone, Copy, Default)]
struct Limits {
    /// The shortest that those asked for who held it before: what they asked for may still be carried out, which must not
    /// shorten it.
    most: Option<Duration>,
    /// The shortest that anybody has asked for.
    least: Option<Duration>,
}

pub(super) async fn lock(client: Process, redlock: &Redlock) {
    let world = world();
    let (names, resources) = choose_resources();
    let ttl = world.plan.ttl;
    let tries = world.dice(|rng| *[0, 0, 3].choose(rng).unwrap_or(&0));
    let request: LockRequest = redlock.lock(&names, ttl).retry(Retry::new(tries, ttl / 8));
    let asked = world.asked(client, "lock", resources, None);
    match perhaps(request).await {
        None => world.failed(asked, "cancelled"),
        Some(Err(error)) => {
            note_error(asked, &error);
        }
        Some(Ok(lock)) => {
            let holding = Holding::of_lock(client, asked, lock);
            // While the answers of some servers may still be on their way.
            if !world.is_healed.get() && world.dice(|rng| rng.gen_bool(0.15)) {
                if world.dice(|rng| rng.gen_bool(0.5)) {
                    nemesis::cut_off(client);
                }
                hand_over(holding, &names, None);
            } else {
                hold(redlock, holding, &names, Limits::default()).await;
            }
        }
    }
}

/// Locks a resource again as soon as it is unlocked, for a while, though others wait for it.
pub(super) async fn lock_again_at_once(client: Process, redlock: &Redlock, hold: Duration) {
    let world = world();
    let (names, resources) = choose_resources();
    let waits_for_unlock = world.dice(|rng| rng.gen_bool(0.5));
    let started = Instant::now();
    while is_greedy(client, started) {
        let request = redlock.lock(&names, world.plan.ttl).retry(Retry::new(3, GREEDY_RETRY));
        let asked = world.asked(client, "lock", resources, None);
        let lock = match request.await {
            Ok(lock) => lock,
            Err(error) => {
                note_error(asked, &error);
                continue;
            }
        };
        let holding = Holding::of_lock(client, asked, lock.clone());
        sleep(hold).await;
        holding.end(How::Unlocked);
        let unlocking = redlock.unlock(&lock);
        if waits_for_unlock {
            let _ = unlocking.await;
        }
    }
}

/// Asks for the key in which servers store the tokens of another lock. That must be refused and change nothing.
pub(super) async fn lock_a_fence(redlock: &Redlock) {
    const FENCE: &str = "r0:fence:{r0}";
    let world = world();
    let stored = || -> Vec<_> {
        let network = world.network.borrow();
        let servers = network.nodes.iter().map(|node| &node.server);
        let stored = servers.map(|server| (server.len(), server.token("r0"), server.token(FENCE)));
        stored.collect()
    };
    let before = stored();
    let errors = [
        redlock.lock(FENCE, world.plan.ttl).await.err(),
        redlock.lock(["r0", FENCE], world.plan.ttl).fenced().await.err(),
        redlock.acquire(FENCE, world.plan.ttl).await.err(),
    ];
    let is_refused = |error: &Option<LockError>| {
        matches!(
            error,
            Some(LockError::Invalid(InvalidRequest::Resource(
                InvalidResource::Fence { .. }
            )))
        )
    };
    if !errors.iter().all(is_refused) {
        world.note(Happened::Wrong("a key in which tokens are stored can be locked"));
    }
    if stored() != before {
        world.note(Happened::Wrong("a request that is refused changes something"));
    }
}

pub(super) async fn take_over(client: Process, redlock: &Redlock, parts: Parts) {
    let world = world();
    let mut lock = Lock::from_parts(&parts.resources, &*parts.value);
    if let Some(token) = parts.token {
        lock = lock.with_token(token);
    }
    let numbers = parts.resources.iter().filter_map(|name| name[1..].parse().ok());
    let asked = world.asked(client, "take over", Bits::of(numbers), None);
    let ttl = choose_ttl(parts.least);
    note_renewing(asked, client, &lock, ttl);
    let least = Some(parts.least.map_or(ttl, |least| least.min(ttl)));
    match redlock.renew(&lock, ttl).await {
        Ok(lock) => {
            let holding = Holding::of_lock(client, asked, lock);
            hold(
                redlock,
                holding,
                &parts.resources,
                Limits {
                    most: parts.least,
                    least,
                },
            )
            .await;
        }
        Err(error) => {
            world.failed(asked, error.kind().as_str());
            let _ = redlock.unlock(&lock).counts().await;
        }
    }
}

/// Holds a lock for a while, perhaps renews it, and ends that in one of several ways.
async fn hold(redlock: &Redlock, mut holding: Holding, names: &[String], limits: Limits) {
    let world = world();
    let ttl = world.plan.ttl;
    let Limits { most, mut least } = limits;
    let renewals: &[_] = if least.is_some() { &[1, 2, 4] } else { &[0, 0, 1, 3] };
    let renewals = world.dice(|rng| *renewals.choose(rng).unwrap_or(&0));
    for _ in 0..renewals {
        // Some come too late.
        let time = world.dice(|rng| while_held(rng, ttl, 1.3));
        holding.wait(redlock, time).await;
        let Some(Held::Lock(lock)) = &holding.held else { break };
        let ttl = choose_ttl(most);
        least = Some(least.map_or(ttl, |least| least.min(ttl)));
        let asked = world.asked(holding.client, "renew", Bits::default(), None);
        note_renewing(asked, holding.client, lock, ttl);
        let renewed = perhaps(redlock.renew(lock, ttl)).await;
        let is_over = matches!(renewed, Some(Err(RenewError::Lost { .. } | RenewError::Closed)));
        holding.note_renewal(asked, renewed);
        if is_over {
            break;
        }
    }
    let time = world.dice(|rng| while_held(rng, ttl, if least.is_some() { 2.0 } else { 0.7 }));
    holding.wait(redlock, time).await;
    match world.dice(|rng| rng.gen_range(0..10)) {
        6 if !world.is_healed.get() => hand_over(holding, names, least),
        // It would take long until a longer one is over.
        7.. if holding.valid_for() <= ttl => {
            let left = holding.valid_for();
            holding.end(How::Abandoned);
            sleep(left).await;
        }
        _ => {
            let Some(Held::Lock(lock)) = &holding.held else { return };
            let unlocking = redlock.unlock(lock);
            holding.end(How::Unlocked);
            if world.dice(|rng| rng.gen_bool(0.5)) {
                let _ = unlocking.await;
            }
        }
    }
}

/// Leaves a lock to whoever comes next.
fn hand_over(holding: Holding, names: &[String], least: Option<Duration>) {
    let Some(Held::Lock(lock)) = &holding.held else { return };
    let parts = Parts {
        resources: names.to_vec(),
        value: Arc::clone(lock.shared_value()),
        token: lock.token(),
        least,
    };
    holding.end(How::HandedOver);
    world().handed.borrow_mut().push(parts);
}

/// For how long to renew, at most.
fn choose_ttl(most: Option<Duration>) -> Duration {
    let world = world();
    let plan = &world.plan;
    let ttl = match world.dice(|rng| rng.gen_range(0..5)) {
        0 => plan.shorter.unwrap_or(plan.ttl),
        1 | 2 => plan.longest,
        _ => plan.ttl,
    };
    most.map_or(ttl, |most| ttl.min(most))
}

pub(super) fn note_renewing(request: Request, client: Process, lock: &Lock, ttl: Duration) {
    let world = world();
    let value = world.history.borrow_mut().value(lock.shared_value());
    world.note(Happened::Renewing {
        request,
        client,
        value,
        ttl,
    });
}
