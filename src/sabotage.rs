//! The library's own faults, which tests switch on to see that the simulation finds them. There are none otherwise.

/// Something that the library gets wrong on purpose.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the last five are not committed anywhere yet")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// A round that failed leaves its keys.
    NoUndo,
    /// A SET whose answer was lost with its connection is forgotten.
    UnansweredForgotten,
    /// An unlock is sent before the SETs that wait.
    UnlockOvertakes,
    /// A key may be set after it was unlocked.
    ClaimIgnored,
    /// SETs whose answer was lost are sent once more.
    SetsReplayed,
    /// Unlocks for a server that is down are forgotten.
    LateUnlocksDropped,
    /// A round waits for every server.
    WaitsForAll,
    /// Only as many servers as are needed are asked.
    AsksNoMoreThanNeeded,
    /// The drift is not taken off the validity.
    DriftIgnored,
    /// Time is read when the votes are there.
    ClockReadLate,
    /// The validity is not checked before a lock is handed out.
    NoLastCheck,
    /// A renewal counts the keys that it puts back.
    HealedCounted,
    /// One vote less than a majority is enough.
    QuorumTooSmall,
    /// Servers that cannot be reached are said to hold the resource for another.
    UnreachableIsHeld,
    /// A majority is told again when one more server is up.
    CrossingRepeated,
    /// The supervisors do not hear that their handle was closed.
    CloseUnheard,
    /// A waiter that leaves wakes nobody.
    NextNotWoken,
    /// A server that was started again votes at once.
    RestartUnguarded,
    /// The largest token is taken as it is, without a second round.
    PlainMaximum,
    /// A SET whose answer was lost is undone once its TTL is over, though its value may have been handed over.
    OldSetsUndone,
    /// Copies of a lock keep their validity when a renewal for less is submitted.
    RenewalNotCapped,
    /// The turns that a client takes in a row count only while others wait in its own queue.
    TurnsForgotten,
    /// A guard renews at a third of the TTL, also if less is left of its validity.
    RenewsAtThirdOfTtl,
    /// A grant that arrives after its attempt was lost, and is undone, changes nothing for the waiter.
    LateGrantForgotten,
}

#[cfg(test)]
thread_local! {
    static COMMITTED: std::cell::Cell<Option<Sabotage>> = const { std::cell::Cell::new(None) };
}

impl Sabotage {
    /// Whether the library gets this wrong at present.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in tests it matters which")]
    pub(crate) const fn is_on(self) -> bool {
        false
    }

    #[cfg(test)]
    pub(crate) fn is_on(self) -> bool {
        COMMITTED.get() == Some(self)
    }

    /// Makes the library get something wrong on this thread, or all right.
    #[cfg(test)]
    pub(crate) fn commit(sabotage: Option<Self>) {
        COMMITTED.set(sabotage);
    }
}
