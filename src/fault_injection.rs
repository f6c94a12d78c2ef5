//! The library's own faults, which tests switch on to see that the simulation finds them. There are none otherwise.

/// Something that the library gets wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InjectedFault {
    /// An attempt that failed leaves its keys.
    NoUndo,
    /// A SET whose answer was lost with its connection is forgotten.
    UnansweredForgotten,
    /// A key may be set after it was unlocked.
    SetAfterUnlock,
    /// Unlocks for a server that is down are forgotten.
    LateUnlocksDropped,
    /// An attempt waits for every server.
    WaitsForAll,
    /// Only as many servers as are needed are asked.
    AsksNoMoreThanNeeded,
    /// Time is read when the votes are there.
    ClockReadLate,
    /// The validity is not checked before a lock is handed out.
    NoLastCheck,
    /// One vote less than a majority is enough.
    QuorumTooSmall,
    /// Servers that cannot be reached are said to hold the resource for another.
    UnreachableIsHeld,
    /// A majority is told again when one more server is up.
    CrossingRepeated,
    /// The supervisors do not hear that their client was closed.
    CloseUnheard,
    /// A waiter that leaves wakes nobody.
    NextNotWoken,
    /// The largest token is taken as it is, without a second attempt.
    PlainMaximum,
    /// A SET whose answer was lost is undone when its TTL is over, though its lock may have been handed over.
    OldSetsUndone,
    /// Copies of a lock do not hear of a renewal for less.
    RenewalNotCapped,
    /// A client forgets how long it has had a resource when nobody in it waits.
    TurnsForgotten,
    /// A client that was overtaken in a crowd does not come before those that have waited for less.
    OvertakenNotOverdue,
    /// The builder accepts a fence expiry within which a token may be ahead of the clock.
    FenceForgottenSoon,
    /// A guard is renewed at a third of its TTL, whatever is left of its validity.
    RenewsAtThirdOfTtl,
    /// A grant that comes after the decision tells the waiter nothing.
    LateGrantForgotten,
}

#[cfg(test)]
thread_local! {
    static COMMITTED: std::cell::Cell<Option<InjectedFault>> = const { std::cell::Cell::new(None) };
}

impl InjectedFault {
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
    pub(crate) fn commit(fault: Option<Self>) {
        COMMITTED.set(fault);
    }
}
