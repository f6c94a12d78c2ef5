//! What a seed stands for: the servers, the clients, what may go wrong, and so what may be expected.

use crate::{Drift, fence::SHORTEST_EXPIRY};
use rand::{Rng, rngs::SmallRng, seq::SliceRandom};
use std::time::Duration;

/// The longest pause before a client connects to a server again.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The longest time until a message goes on when its way is free again.
pub(super) const LONGEST_RESUMPTION: Duration = Duration::from_millis(100);

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is drawn on its own")]
pub(super) struct Plan {
    pub(super) servers: Vec<ServerPlan>,
    pub(super) clients: usize,
    /// How many tasks of each client lock.
    pub(super) workers: usize,
    pub(super) resources: usize,
    pub(super) ttl: Duration,
    /// What locks are renewed for as well: a shorter ttl if that leaves some validity, and the longest that anybody uses.
    pub(super) shorter: Option<Duration>,
    pub(super) longest: Duration,
    pub(super) drift: Drift,
    pub(super) clocks: Clocks,
    pub(super) fenced: bool,
    pub(super) restart_guard: Option<Duration>,
    pub(super) memory: Memory,
    pub(super) heartbeat: Duration,
    /// What a message takes on its way at the least, and how much longer it may take.
    pub(super) latency: (u64, u64),
    /// Whether clients find the locks of their resources by name.
    pub(super) remembers: bool,
    /// The server on which others leave keys of theirs: a single one, so that a majority stays free.
    pub(super) littered: usize,
    /// Whether nothing else goes wrong, so that it can be told how long waiters have to wait.
    pub(super) is_calm: bool,
    /// How long greedy clients hold what they lock again at once, if there are any.
    pub(super) greed: Option<Duration>,
    /// Whether greedy clients use `lock` and `unlock` rather than guards.
    pub(super) greedy_locks: bool,
    /// The server that has a replica: a single one, as what a replica brings back may be held still where nobody knows of it.
    pub(super) replicated: Option<usize>,
    /// Whether servers remember tokens for no longer than they must.
    pub(super) forgets_tokens: bool,
    /// Whether many clients want the only resource all the time.
    pub(super) is_crowded: bool,
    /// For how long things go wrong.
    pub(super) length: Duration,
    /// The longest quiet time between two strikes, in milliseconds.
    pub(super) quiet: u64,
}

#[derive(Debug)]
pub(super) struct ServerPlan {
    /// How fast its clock goes compared to the clients'.
    pub(super) rate: f64,
    /// How far it is ahead of the others, which tokens follow.
    pub(super) ahead: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clocks {
    Alike,
    WithinDrift,
    BeyondDrift,
}

/// What servers remember when they are started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Kept,
    /// They may forget everything, which the restart guard is for.
    LostGuarded,
    /// They may forget everything, also while they run.
    Lost,
}

impl Plan {
    pub(super) fn new(rng: &mut SmallRng) -> Self {
        let ms = Duration::from_millis;
        let ttl = ms(*[150, 300, 500, 1_000, 2_000, 6_000].choose(rng).unwrap_or(&500));
        let drift = match rng.gen_range(0..12) {
            0 => Drift::fixed(ttl * 2 / 3),
            1 => Drift::factor(0.67).unwrap(),
            2..=4 => Drift::fixed(ttl / 10),
            5..=7 => Drift::fixed(ttl / 4),
            _ => Drift::factor(*[0.01, 0.05, 0.2].choose(rng).unwrap_or(&0.01)).unwrap(),
        };
        // Long renewals cost many heartbeats, and a drift that is fixed is less of them.
        let longest = match rng.gen_range(0..3) {
            0 => ttl,
            _ if ttl > ms(1_000) => ttl,
            _ => 4 * ttl,
        };
        let is_shorter = |shorter: &Duration| drift.of(*shorter) * 3 / 2 < *shorter;
        let shorter = [ttl / 5, ttl / 2].into_iter().find(is_shorter);
        let clocks = match rng.gen_range(0..10) {
            0..=3 => Clocks::Alike,
            4..=8 => Clocks::WithinDrift,
            _ => Clocks::BeyondDrift,
        };
        let memory = match rng.gen_range(0..10) {
            0..=5 => Memory::Kept,
            6..=8 => Memory::LostGuarded,
            _ => Memory::Lost,
        };
        let fenced = rng.gen_bool(0.5);
        // A clock that is this fast lets a key expire as much too soon as the drift allows, which is the least of a long ttl.
        let fastest = longest.as_secs_f64() / longest.saturating_sub(drift.of(longest)).as_secs_f64();
        let servers = (0..*[3, 3, 3, 5].choose(rng).unwrap_or(&3)).map(|_| ServerPlan {
            rate: match clocks {
                Clocks::Alike => 1.0,
                Clocks::WithinDrift if rng.gen_bool(0.5) => fastest,
                Clocks::WithinDrift => rng.gen_range(0.9..=fastest),
                Clocks::BeyondDrift => rng.gen_range(0.5..3.0),
            },
            ahead: ms(*[0, 0, 40, 700, 5_000].choose(rng).unwrap_or(&0)),
        });
        let servers: Vec<_> = servers.collect();
        let is_calm = rng.gen_bool(0.2);
        let greed = [1, 5, 20].choose(rng).copied().filter(|_| is_calm && rng.gen_bool(0.2));
        // Whoever asks right behind its own unlock is first wherever all ways are as long.
        let latencies: &[_] = match (greed, is_calm) {
            (Some(_), _) => &[(1, 0), (1, 0), (0, 2)],
            (None, true) => &[(0, 2), (0, 2), (1, 0), (1, 10)],
            (None, false) => &[(0, 2), (0, 2), (1, 0), (1, 10), (1, 10), (5, 60), (5, 60)],
        };
        let mut plan = Self {
            littered: rng.gen_range(0..servers.len()),
            servers,
            clients: if is_calm && greed.is_none() {
                3
            } else {
                rng.gen_range(2..=3)
            },
            workers: rng.gen_range(1..=2),
            resources: rng.gen_range(1..=2),
            ttl,
            shorter,
            longest,
            drift,
            clocks,
            fenced,
            restart_guard: (memory == Memory::LostGuarded).then_some(longest),
            memory,
            heartbeat: ms(*[200, 1_000].choose(rng).unwrap_or(&200)),
            latency: *latencies.choose(rng).unwrap_or(&(0, 2)),
            remembers: rng.gen_bool(0.5),
            is_calm,
            greed: greed.map(ms),
            length: ms(rng.gen_range(500..3_500) + if is_calm { 2_000 } else { 0 }),
            quiet: *[100, 300, 800].choose(rng).unwrap_or(&400),
            // What is drawn from here on is drawn last, so that it changes nothing else of a seed.
            greedy_locks: greed.is_some() && rng.gen_bool(0.5),
            is_crowded: is_calm && greed.is_none() && rng.gen_bool(0.07),
            replicated: None,
            forgets_tokens: fenced && rng.gen_bool(0.3),
        };
        if memory == Memory::LostGuarded && rng.gen_bool(0.5) {
            // Not the server on which others leave keys, which would come back.
            plan.replicated = Some((plan.littered + 1) % plan.servers.len());
        }
        if plan.forgets_tokens {
            // One clock is ahead by more than a short expiry, so that the server matters which the next token comes from.
            let ahead = rng.gen_range(0..plan.servers.len());
            for (place, server) in plan.servers.iter_mut().enumerate() {
                server.ahead = if place == ahead { ms(700) } else { Duration::ZERO };
            }
        }
        if plan.is_crowded {
            plan.clients = rng.gen_range(8..=10);
            plan.workers = rng.gen_range(1..=3);
            plan.resources = 1;
        }
        plan
    }

    /// How many tasks lock.
    pub(super) fn tasks(&self) -> usize {
        self.clients * self.workers
    }

    /// Whether no two may hold a resource at the same time.
    pub(super) fn is_exclusive(&self) -> bool {
        self.clocks != Clocks::BeyondDrift && self.memory != Memory::Lost
    }

    /// Whether a later lock has a larger token.
    ///
    /// A server that forgets its tokens, or remembers them for a short time, goes by its clock. When it votes again that must be
    /// ahead of every token that it has forgotten, which may have come from the clock of another, and be a second ahead of that.
    pub(super) fn orders_tokens(&self) -> bool {
        let furthest = self.servers.iter().map(|server| server.ahead).max().unwrap_or_default();
        let ahead = furthest + Duration::from_secs(1);
        let is_guarded = self.restart_guard.is_some_and(|guard| ahead < guard);
        let is_remembered = !self.forgets_tokens || ahead < SHORTEST_EXPIRY.max(self.longest);
        let forgets = self.memory != Memory::Kept || self.forgets_tokens;
        let is_sure = (self.memory == Memory::Kept || is_guarded) && is_remembered;
        is_sure && (self.clocks == Clocks::Alike || !forgets)
    }

    /// For how long a server does not vote after it was started again, at most: INFO rounds its uptime.
    pub(super) fn longest_guard(&self) -> Option<Duration> {
        self.restart_guard.map(|guard| guard + Duration::from_secs(2))
    }

    /// How long an attempt waits for the votes that would decide it: the library's default.
    pub(super) fn attempt_timeout(&self) -> Duration {
        (self.ttl / 10).clamp(Duration::from_millis(50), Duration::from_secs(1))
    }

    /// The longest that a message takes if nothing holds it up.
    pub(super) fn longest_way(&self) -> Duration {
        Duration::from_millis(self.latency.0 + self.latency.1)
    }

    /// How long it takes at the most to notice that a server is down.
    pub(super) fn longest_notice(&self) -> Duration {
        2 * self.heartbeat + 2 * self.longest_way() + LONGEST_RESUMPTION + Duration::from_millis(10)
    }

    /// How long it takes at the most until a server that can be reached is connected to again: an end that was not noticed,
    /// an attempt that was in vain, a pause, and an attempt.
    pub(super) fn longest_recovery(&self) -> Duration {
        self.longest_notice()
            + self.heartbeat
            + LONGEST_PAUSE
            + LONGEST_RESUMPTION
            + 4 * self.longest_way()
            + Duration::from_millis(20)
    }
}
