//! That the simulation finds what it looks for: each fault is committed on purpose, and has to be found.

use super::{
    Broken,
    plan::Plan,
    report::{number, on_all_cores},
    run,
};
use crate::fault_injection::InjectedFault;

/// How many seeds are tried for each fault unless more are allowed. Most are found by then.
const FEW: u64 = 20;

/// Each fault, and which invariant of the library it breaks.
const FAULTS: [(Fault, &str); 30] = [
    (
        Fault::Library(InjectedFault::NoUndo),
        "an attempt that failed leaves its keys",
    ),
    (
        Fault::Library(InjectedFault::UnansweredForgotten),
        "a SET whose answer was lost is forgotten",
    ),
    (
        Fault::Around(|broken| broken.old_connections_live = true),
        "the connection before is not ended",
    ),
    (
        Fault::Around(|broken| broken.unlocks_overtake = true),
        "an unlock overtakes the SETs that wait",
    ),
    (
        Fault::Library(InjectedFault::SetAfterUnlock),
        "a key is set after its unlock",
    ),
    (
        Fault::Around(|broken| broken.sets_replayed = true),
        "SETs are sent again after a reconnection",
    ),
    (
        Fault::Library(InjectedFault::LateUnlocksDropped),
        "unlocks for a server that is down are dropped",
    ),
    (
        Fault::Library(InjectedFault::WaitsForAll),
        "an attempt waits for every server",
    ),
    (
        Fault::Library(InjectedFault::AsksNoMoreThanNeeded),
        "no more servers are asked than are needed",
    ),
    (
        Fault::Around(|broken| broken.drift_ignored = true),
        "the drift is not taken off the validity",
    ),
    (
        Fault::Library(InjectedFault::ClockReadLate),
        "time is read when the votes are there",
    ),
    (
        Fault::Library(InjectedFault::NoLastCheck),
        "the validity is not checked at the end",
    ),
    (
        Fault::Around(|broken| broken.healed_counted = true),
        "a renewal counts the keys that it puts back",
    ),
    (
        Fault::Library(InjectedFault::QuorumTooSmall),
        "one vote less than a majority is enough",
    ),
    (
        Fault::Library(InjectedFault::UnreachableIsHeld),
        "unreachable is called held",
    ),
    (
        Fault::Library(InjectedFault::CrossingRepeated),
        "a majority is told twice",
    ),
    (
        Fault::Library(InjectedFault::CloseUnheard),
        "the supervisors do not hear the close",
    ),
    (
        Fault::Library(InjectedFault::NextNotWoken),
        "a waiter that leaves wakes nobody",
    ),
    (
        Fault::Around(|broken| broken.restart_hidden = true),
        "a server that forgot votes at once",
    ),
    (
        Fault::Library(InjectedFault::PlainMaximum),
        "the largest token without a second attempt",
    ),
    (
        Fault::Library(InjectedFault::OldSetsUndone),
        "a SET of a lock that was handed over is undone",
    ),
    (
        Fault::Library(InjectedFault::RenewalNotCapped),
        "a renewal for less leaves the longer validity",
    ),
    (
        Fault::Library(InjectedFault::TurnsForgotten),
        "turns in a row are forgotten with an empty queue",
    ),
    (
        Fault::Where(InjectedFault::TurnsForgotten, |plan| plan.greedy_locks),
        "the same of clients that lock and unlock in a loop",
    ),
    (
        Fault::Library(InjectedFault::RenewsAtThirdOfTtl),
        "a guard renews at a third of the TTL, not of its validity",
    ),
    (
        Fault::Library(InjectedFault::LateGrantForgotten),
        "a late grant that is undone is forgotten",
    ),
    (
        Fault::Library(InjectedFault::OvertakenNotOverdue),
        "a client that was overtaken in a crowd does not come first",
    ),
    (
        Fault::Around(|broken| broken.promotion_hidden = true),
        "a promoted replica whose history is unknown votes at once",
    ),
    (
        Fault::Library(InjectedFault::FenceForgottenSoon),
        "a fence expires while its token is ahead of the clock",
    ),
    (
        Fault::Around(|broken| broken.unlocks_anything = true),
        "an unlock removes the key of another",
    ),
];

#[derive(Clone, Copy)]
enum Fault {
    Library(InjectedFault),
    /// Of the library, to be found in such runs.
    Where(InjectedFault, fn(&Plan) -> bool),
    /// Of what is around the library: servers, connections, options.
    Around(fn(&mut Broken)),
}

/// With as many seeds as `scripts/simulate --mutation-check` allows every fault is found, with those of the other tests most are.
#[test]
fn faults_on_purpose_are_found() {
    let allowed = number("SIMULATE_MUTATION_CHECK");
    let most = allowed.unwrap_or(FEW);
    let found = on_all_cores(0..FAULTS.len() as u64, |number| {
        let (fault, what) = FAULTS[usize::try_from(number).unwrap()];
        Some(match find(fault, most) {
            Some((seeds, rule)) => (true, format!("| {what} | {seeds} | {rule} |")),
            None => (false, format!("| {what} | not within {most} | |")),
        })
    });
    println!("| fault | seeds | found as |\n|:--|--:|:--|");
    for (_, line) in &found {
        println!("{line}");
    }
    let count = found.iter().filter(|(is_found, _)| *is_found).count();
    let expected = if allowed.is_some() {
        FAULTS.len()
    } else {
        FAULTS.len() / 2
    };
    assert!(count >= expected, "{count} of {} faults are found", FAULTS.len());
}

/// How many seeds it took to find a fault, and which rule it broke.
fn find(fault: Fault, most: u64) -> Option<(u64, &'static str)> {
    let (mut broken, mut counts): (_, fn(&Plan) -> bool) = (Broken::default(), |_| true);
    match fault {
        Fault::Where(fault, of) => {
            InjectedFault::commit(Some(fault));
            counts = of;
        }
        Fault::Library(fault) => InjectedFault::commit(Some(fault)),
        Fault::Around(break_rule) => break_rule(&mut broken),
    }
    let found = (0..most).find_map(|seed| {
        let run = run(seed, broken);
        let violation = run.violations.first().filter(|_| counts(&run.plan))?;
        Some((seed + 1, violation.rule))
    });
    InjectedFault::commit(None);
    found
}
