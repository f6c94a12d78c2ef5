//! That the simulation finds what it looks for: each fault is committed on purpose, and has to be found.

use super::{
    Rules,
    plan::Plan,
    report::{number, on_all_cores},
    run,
};
use crate::fault::Sabotage;

/// How many seeds are tried for each fault unless more are allowed. Most are found by then.
const FEW: u64 = 20;

/// Each fault, and which invariant of the library it breaks.
const FAULTS: [(Fault, &str); 30] = [
    (Fault::Library(Sabotage::NoUndo), "a round that failed leaves its keys"),
    (
        Fault::Library(Sabotage::UnansweredForgotten),
        "a SET whose answer was lost is forgotten",
    ),
    (Fault::OldConnectionLives, "the connection before is not ended"),
    (
        Fault::Library(Sabotage::UnlockOvertakes),
        "an unlock overtakes the SETs that wait",
    ),
    (Fault::Library(Sabotage::ClaimIgnored), "a key is set after its unlock"),
    (
        Fault::Library(Sabotage::SetsReplayed),
        "SETs are sent again after a reconnection",
    ),
    (
        Fault::Library(Sabotage::LateUnlocksDropped),
        "unlocks for a server that is down are dropped",
    ),
    (Fault::Library(Sabotage::WaitsForAll), "a round waits for every server"),
    (
        Fault::Library(Sabotage::AsksNoMoreThanNeeded),
        "no more servers are asked than are needed",
    ),
    (
        Fault::Library(Sabotage::DriftIgnored),
        "the drift is not taken off the validity",
    ),
    (
        Fault::Library(Sabotage::ClockReadLate),
        "time is read when the votes are there",
    ),
    (
        Fault::Library(Sabotage::NoLastCheck),
        "the validity is not checked at the end",
    ),
    (
        Fault::Library(Sabotage::HealedCounted),
        "a renewal counts the keys that it puts back",
    ),
    (
        Fault::Library(Sabotage::QuorumTooSmall),
        "one vote less than a majority is enough",
    ),
    (
        Fault::Library(Sabotage::UnreachableIsHeld),
        "unreachable is called held",
    ),
    (Fault::Library(Sabotage::CrossingRepeated), "a majority is told twice"),
    (
        Fault::Library(Sabotage::CloseUnheard),
        "the supervisors do not hear the close",
    ),
    (
        Fault::Library(Sabotage::NextNotWoken),
        "a waiter that leaves wakes nobody",
    ),
    (
        Fault::Library(Sabotage::RestartUnguarded),
        "a server that forgot votes at once",
    ),
    (
        Fault::Library(Sabotage::PlainMaximum),
        "the largest token without a second round",
    ),
    (
        Fault::Library(Sabotage::OldSetsUndone),
        "a SET of a lock that was handed over is undone",
    ),
    (
        Fault::Library(Sabotage::RenewalNotCapped),
        "a renewal for less leaves the longer validity",
    ),
    (
        Fault::Library(Sabotage::TurnsForgotten),
        "turns in a row are forgotten with an empty queue",
    ),
    (
        Fault::Where(Sabotage::TurnsForgotten, |plan| plan.greedy_locks),
        "the same of clients that lock and unlock in a loop",
    ),
    (
        Fault::Library(Sabotage::RenewsAtThirdOfTtl),
        "a guard renews at a third of the TTL, not of its validity",
    ),
    (
        Fault::Library(Sabotage::LateGrantForgotten),
        "a late grant that is undone is forgotten",
    ),
    (
        Fault::Library(Sabotage::OvertakenNotOverdue),
        "a client that was overtaken in a crowd does not come first",
    ),
    (
        Fault::Library(Sabotage::HistoryTrusted),
        "a promoted replica whose history is unknown votes at once",
    ),
    (
        Fault::Library(Sabotage::FenceForgottenSoon),
        "a fence expires while its token is ahead of the clock",
    ),
    (Fault::UnlocksAnything, "an unlock removes the key of another"),
];

#[derive(Clone, Copy)]
enum Fault {
    Library(Sabotage),
    /// Of the library, to be found in such runs.
    Where(Sabotage, fn(&Plan) -> bool),
    /// Of the servers, which do what the library asks them to prevent.
    OldConnectionLives,
    UnlocksAnything,
}

/// With as many seeds as `scripts/simulate --teeth` allows every fault is found, with those of the other tests most are.
#[test]
fn faults_on_purpose_are_found() {
    let allowed = number("SIMULATE_TEETH");
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
    let (mut rules, mut counts): (_, fn(&Plan) -> bool) = (Rules::default(), |_| true);
    match fault {
        Fault::Where(sabotage, of) => {
            Sabotage::commit(Some(sabotage));
            counts = of;
        }
        Fault::Library(sabotage) => Sabotage::commit(Some(sabotage)),
        Fault::OldConnectionLives => rules.old_connections_live = true,
        Fault::UnlocksAnything => rules.unlocks_anything = true,
    }
    let found = (0..most).find_map(|seed| {
        let run = run(seed, rules);
        let violation = run.violations.first().filter(|_| counts(&run.plan))?;
        Some((seed + 1, violation.rule))
    });
    Sabotage::commit(None);
    found
}
