//! A waiter is served soon after a majority is free, and also beside clients that lock the resource again and again.

use super::{Asked, Facts, Millis, Process, Request, Violation, millis};
use crate::{
    decision::{
        crowd::WINDOWS,
        head::{LONGEST_SPLIT, POLITE, POLL_TRACKED, POLL_UNTRACKED},
        turns::{PAUSE, SHORTEST_RUN},
    },
    server::Verb,
    simulation::{
        history::{Did, Happened},
        nemesis::Strike,
    },
};
use std::collections::BTreeMap;

/// How many runs of each other client a waiter may miss in a row: it hears of their ends too late, or others win the race.
const MISSED_RUNS: u64 = 8;

/// From when until when something was so.
type Stretch = (Millis, Millis);

struct Waiting {
    request: Request,
    entry: usize,
    /// Since when its client has had waiters, and what the first of them knew.
    row: Millis,
    until: Millis,
    /// Whether it does not wait to the end.
    leaves: bool,
}

/// Keys on a server that were set by anybody.
struct Taken {
    server: usize,
    stretch: Stretch,
}

pub(super) fn check(facts: &Facts<'_>, found: &mut Vec<Violation>) {
    // What servers say of how long a key stays is as wrong as their clocks are.
    if !facts.plan.is_exclusive() {
        return;
    }
    let longest = (longest_beside_free(facts), longest_beside_greedy(facts));
    let least = longest.0.min(longest.1.unwrap_or(longest.0));
    let waits = waits(facts).into_iter();
    let mut waits = waits
        .filter(|wait| !wait.leaves && facts.requests[&wait.request].at.0 + least < wait.until.0)
        .peekable();
    if waits.peek().is_none() {
        return;
    }
    for wait in waits {
        let asked = &facts.requests[&wait.request];
        let taken = taken(facts, asked, &wait);
        if let Some(at) = free_at(facts, asked, &wait, &taken, longest.0) {
            found.push(Violation {
                rule: "a majority is free, and a waiter is not served",
                entry: wait.entry,
                text: format!("{:?} since {at:?}, for longer than {} ms", wait.request, longest.0),
            });
        }
        // Clients that hold several resources leave pauses, but not at the same time.
        if let Some(longest) = longest.1.filter(|_| asked.resources.count() == 1)
            && let Some(at) = passed_over_at(facts, asked, wait.until, &taken, longest)
        {
            found.push(Violation {
                rule: "a waiter is passed over again and again",
                entry: wait.entry,
                text: format!("{:?} since {at:?}, for longer than {longest} ms", wait.request),
            });
        }
    }
}

/// The longest round trip if nothing holds a server up, in milliseconds. Pauses are measured by it.
fn unit(facts: &Facts<'_>) -> u64 {
    millis(2 * facts.plan.longest_way()).max(1)
}

/// For how long a majority may be free before a waiter has it, at most:
///
/// `attempt + 3/2 POLL_UNTRACKED + (2^LONGEST_SPLIT + POLITE + PAUSE + 6) · round trip + 20 ms`, in a crowd with the longest window
/// instead of `LONGEST_SPLIT`
///
/// An attempt whose servers do not answer may have to end first. If nobody reports the change, the waiter polls. A pause that has
/// begun may last as long as pauses get. Then the waiter asks twice, the second time so that changes are reported from then on, and
/// each operation may wait for the answer to the one before it.
fn longest_beside_free(facts: &Facts<'_>) -> u64 {
    let attempt = if facts.plan.is_calm {
        0
    } else {
        millis(facts.plan.attempt_timeout())
    };
    let pause = if facts.plan.is_crowded {
        *WINDOWS.end()
    } else {
        LONGEST_SPLIT
    };
    let pauses = (1 << pause) + POLITE + PAUSE;
    let poll = millis(POLL_UNTRACKED * 3 / 2);
    attempt + poll + (u64::from(pauses) + 6) * unit(facts) + 20
}

/// For how long clients that hold a resource only for moments may keep a waiter waiting, at most:
///
/// `other clients · MISSED_RUNS · (turn + (SHORTEST_RUN + PAUSE) · round trip)`
///
/// A run goes on until its last holder is done. The time in which anybody holds the resource for longer than such a turn does not
/// count.
fn longest_beside_greedy(facts: &Facts<'_>) -> Option<u64> {
    let run = longest_turn(facts)? + u64::from(SHORTEST_RUN + PAUSE) * unit(facts);
    Some((facts.plan.clients as u64 - 1) * MISSED_RUNS * run)
}

/// The longest that a greedy client's keys stand: those of an attempt that was lost are undone sooner.
fn longest_turn(facts: &Facts<'_>) -> Option<u64> {
    facts.plan.greed.map(|hold| millis(hold) + 4 * unit(facts))
}

/// All waits, in the order in which they began.
fn waits(facts: &Facts<'_>) -> Vec<Waiting> {
    let mut open: BTreeMap<Request, usize> = BTreeMap::new();
    let mut waits: Vec<Waiting> = Vec::new();
    // Since when the waiters of each client have waited without a gap, and until when.
    let mut rows: BTreeMap<Process, (Millis, usize)> = BTreeMap::new();
    for (entry, happened) in facts.history.entries.iter().enumerate() {
        match happened.what {
            Happened::Asked {
                request,
                client,
                what: "acquire" | "use",
                ..
            } => {
                let (since, waiters) = rows.entry(client).or_insert((happened.at, 0));
                *waiters += 1;
                open.insert(request, waits.len());
                waits.push(Waiting {
                    request,
                    entry,
                    row: *since,
                    until: facts.gone.get(&client).copied().unwrap_or(facts.end),
                    leaves: false,
                });
            }
            Happened::Failed { request, .. } | Happened::Granted { request, .. } => {
                let Some(wait) = open.remove(&request) else { continue };
                let client = facts.requests[&request].client;
                let left = rows.get_mut(&client).map_or(0, |(_, waiters)| {
                    *waiters -= 1;
                    *waiters
                });
                if left == 0 {
                    rows.remove(&client);
                }
                waits[wait].entry = entry;
                waits[wait].until = happened.at;
                waits[wait].leaves = matches!(happened.what, Happened::Failed { why: "cancelled", .. });
            }
            _ => {}
        }
    }
    waits
}

/// When which keys could not be set, as far as a waiter can know.
fn taken(facts: &Facts<'_>, asked: &Asked, wait: &Waiting) -> Vec<Taken> {
    let mut taken = Vec::new();
    for (_, stay) in facts.keys.all() {
        if stay.resources.overlap(asked.resources) {
            let told_until = if stay.is_unlocked {
                stay.until
            } else {
                facts.told_until(stay)
            };
            taken.push(Taken {
                server: stay.server,
                stretch: (stay.from, stay.until.max(told_until)),
            });
        }
    }
    for (entry, happened) in facts.history.entries.iter().enumerate() {
        match happened.what {
            Happened::Struck(Strike::Leave { server, resource, ttl }) if asked.resources.has(resource) => {
                let clean = Strike::Clean { server, resource };
                let mut later = facts.history.entries[entry..].iter();
                let cleaned = later.find(|entry| matches!(entry.what, Happened::Struck(strike) if strike == clean));
                let until = match ttl {
                    // By a clock that goes slowly.
                    Some(ttl) => Millis(happened.at.0 + 2 * millis(ttl)),
                    None => cleaned.map_or(facts.end, |entry| entry.at),
                };
                taken.push(Taken {
                    server,
                    stretch: (happened.at, until),
                });
            }
            // The waiters of a client are not told of its own changes, nor of the next change by others after that.
            Happened::Ran {
                client,
                server,
                verb: Verb::Renew | Verb::ReSet,
                resources,
                did: Did::Done,
                ..
            } if client == asked.client && resources.overlap(asked.resources) && wait.row <= happened.at => {
                let until = Millis(happened.at.0 + millis(POLL_TRACKED * 3 / 2));
                taken.push(Taken {
                    server,
                    stretch: (happened.at, until),
                });
            }
            _ => {}
        }
    }
    taken
}

/// Since when a majority was free, could be reached, and granted a waiter nothing for too long.
///
/// A client measures its pauses by the last round trips of a majority, which are too long after it was paused, or servers did not
/// answer. So only servers count that it has reached since before its row of waiters began.
fn free_at(facts: &Facts<'_>, asked: &Asked, wait: &Waiting, taken: &[Taken], longest: u64) -> Option<Millis> {
    let measured = 2 * millis(facts.plan.heartbeat);
    let free: Vec<Vec<Stretch>> = (0..facts.plan.servers.len())
        .map(|server| {
            let of_server = taken.iter().filter(|taken| taken.server == server);
            let taken: Vec<_> = of_server.map(|taken| taken.stretch).collect();
            let used = facts.used(asked.client, server);
            let used = used.filter(|(number, (from, _))| *number == 0 || from.0 + measured < wait.row.0);
            used.flat_map(|(_, used)| without(within(used, asked.at, wait.until), &taken))
                .collect()
        })
        .collect();
    let is_free = |server: &&Vec<Stretch>, at: Millis| {
        let mut stretches = server.iter();
        stretches.any(|(from, until)| *from <= at && at.0 + longest < until.0)
    };
    let starts = free.iter().flatten().map(|(from, _)| *from);
    let mut starts = starts.filter(|at| free.iter().filter(|server| is_free(server, *at)).count() >= facts.majority());
    starts.next()
}

/// Since when a waiter was not served for too long, though nobody held anything for long.
fn passed_over_at(facts: &Facts<'_>, asked: &Asked, until: Millis, taken: &[Taken], longest: u64) -> Option<Millis> {
    let longest_turn = longest_turn(facts)?;
    // What others left stands on a minority.
    let is_long = |(from, until): &Stretch| from.0 + longest_turn < until.0;
    let long = taken.iter().filter(|taken| taken.server != facts.plan.littered);
    let long: Vec<_> = long.map(|taken| taken.stretch).filter(is_long).collect();
    let connected = Millis(asked.at.0 + millis(facts.plan.longest_recovery()));
    let mut calm = without((connected, until), &long).into_iter();
    calm.find(|(from, until)| from.0 + longest < until.0)
        .map(|(from, _)| from)
}

fn within((from, until): Stretch, start: Millis, end: Millis) -> Stretch {
    (from.max(start), until.min(end))
}

/// What is left of a stretch without others.
fn without(stretch: Stretch, others: &[Stretch]) -> Vec<Stretch> {
    let mut others = others.to_vec();
    others.sort_unstable();
    let (mut from, end) = stretch;
    let mut left = Vec::new();
    for (start, until) in others {
        if from < start.min(end) {
            left.push((from, start.min(end)));
        }
        from = from.max(until);
    }
    if from < end {
        left.push((from, end));
    }
    left
}
