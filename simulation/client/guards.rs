//! Guards: waited for, held while some work takes, renewed by hand, and asked for again at once.

use super::{
    choose_resources,
    holding::{Held, Holding},
    is_greedy,
    locks::note_renewing,
    note_error, perhaps, while_held,
};
use crate::{
    Guard, LockLost, Redlock,
    error::UsingError,
    future::AcquireRequest,
    simulation::{
        history::{Bits, How},
        tasks::Process,
        world,
    },
};
use rand::{Rng, seq::SliceRandom};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// The longest that one of a crowd holds the resource.
const CROWD_TURN: Duration = Duration::from_millis(10);

pub(super) async fn acquire(client: Process, redlock: &Redlock) {
    let world = world();
    let (names, resources) = choose_resources();
    let ttl = world.plan.ttl;
    let mut request: AcquireRequest = redlock.acquire(&names, ttl);
    let within = world.dice(|rng| {
        rng.gen_bool(0.4)
            .then(|| Duration::from_millis(rng.gen_range(0..2_000)))
    });
    if let Some(within) = within {
        request = request.timeout(within);
    }
    let asked = world.asked(client, "acquire", resources, within);
    match perhaps(request).await {
        None => world.failed(asked, "cancelled"),
        Some(Err(error)) => note_error(asked, &error),
        Some(Ok(guard)) => hold(redlock, Holding::of_guard(client, asked, guard)).await,
    }
}

/// Locks a resource again as soon as it is unlocked, for a while, though others wait for it.
pub(super) async fn lock_again_at_once(client: Process, redlock: &Redlock, hold: Duration) {
    let world = world();
    let (names, resources) = choose_resources();
    let waits_for_release = world.dice(|rng| rng.gen_bool(0.5));
    let started = Instant::now();
    while is_greedy(client, started) {
        let asked = world.asked(client, "acquire", resources, None);
        let guard = match redlock.acquire(&names, world.plan.ttl).await {
            Ok(guard) => guard,
            Err(error) => {
                note_error(asked, &error);
                return;
            }
        };
        let mut holding = Holding::of_guard(client, asked, guard);
        sleep(hold).await;
        holding.note_end(How::Unlocked);
        let Some(Held::Guard(guard)) = holding.held.take() else {
            return;
        };
        let releasing = guard.release();
        if waits_for_release {
            let _ = releasing.await;
        }
    }
}

/// Wants the resource that all others want for as long as things go wrong, each time for a moment.
pub(super) async fn take_turns(client: Process, redlock: &Redlock) {
    let world = world();
    let started = Instant::now();
    sleep(Duration::from_millis(world.dice(|rng| rng.gen_range(0..50)))).await;
    while started.elapsed() < world.plan.length {
        let asked = world.asked(client, "acquire", Bits::of([0]), None);
        let guard = match redlock.acquire("r0", world.plan.ttl).await {
            Ok(guard) => guard,
            Err(error) => {
                note_error(asked, &error);
                return;
            }
        };
        let mut holding = Holding::of_guard(client, asked, guard);
        sleep(CROWD_TURN.mul_f64(world.dice(|rng| rng.gen_range(0.0..1.0)))).await;
        holding.note_end(How::Unlocked);
        let Some(Held::Guard(guard)) = holding.held.take() else {
            return;
        };
        let _ = guard.release().await;
    }
}

/// Holds something for as long as some work takes.
pub(super) async fn use_it(client: Process, redlock: &Redlock) {
    let world = world();
    let (names, resources) = choose_resources();
    let ttl = world.plan.ttl;
    let asked = world.asked(client, "use", resources, None);
    let work = async |guard: &Guard| {
        // Only what is valid now is sure; the work is dropped when the lock is lost.
        let _holding = Holding::of_lock(client, asked, guard.lock());
        sleep(crate::simulation::world().dice(|rng| while_held(rng, ttl, 2.0))).await;
    };
    match perhaps(redlock.using(&names, ttl, work)).await {
        None => world.failed(asked, "cancelled"),
        Some(Err(UsingError::Lock(error))) => note_error(asked, &error),
        Some(_) => {}
    }
}

async fn hold(redlock: &Redlock, mut holding: Holding) {
    let world = world();
    let ttl = world.plan.ttl;
    let lasts: &[_] = if world.plan.is_calm {
        &[0.0, 0.05, 0.2, 1.0]
    } else {
        &[0.0, 0.2, 1.0, 2.5]
    };
    let lasts = ttl.mul_f64(world.dice(|rng| *lasts.choose(rng).unwrap_or(&0.0)));
    if world.dice(|rng| rng.gen_bool(0.1)) {
        renew_by_hand(redlock, &mut holding).await;
    }
    let Some(Held::Guard(guard)) = &holding.held else {
        return;
    };
    let work = async {
        holding.wait(redlock, lasts).await;
        std::future::pending::<()>().await;
    };
    let loss: Option<LockLost> = tokio::select! {
        biased;
        loss = timeout(lasts, guard.lost()) => loss.ok(),
        () = work => None,
    };
    if loss.is_some() {
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

/// Renews a guard's lock for less, which its guard has to know of.
async fn renew_by_hand(redlock: &Redlock, holding: &mut Holding) {
    let world = world();
    let (Some(Held::Guard(guard)), Some(ttl)) = (&holding.held, world.plan.shorter) else {
        return;
    };
    let lock = guard.lock();
    let asked = world.asked(holding.client, "renew", Bits::default(), None);
    note_renewing(asked, holding.client, &lock, ttl);
    match perhaps(redlock.renew(&lock, ttl)).await {
        Some(Ok(lock)) => {
            world.failed(asked, "renewed by hand");
            holding.copy(lock);
        }
        Some(Err(error)) => world.failed(asked, error.kind().as_str()),
        None => world.failed(asked, "cancelled"),
    }
}
