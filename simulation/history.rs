//! What happened in a run, in order.

use super::{nemesis::Strike, tasks::Process};
use crate::{
    FencingToken,
    server::{Verb, link::Outcome},
};
use std::{collections::HashMap, fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct History {
    start: Instant,
    pub(super) entries: Vec<Entry>,
    values: HashMap<Arc<str>, Value>,
    requests: u32,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: Millis,
    pub(super) what: Happened,
}

/// A moment: milliseconds since the start of the run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Millis(pub(super) u64);

/// The value of a lock, by a number: they are random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Value(pub(super) u32);

/// A request of a client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Request(u32);

/// Several resources or servers, by their bits.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bits(pub(super) u32);

#[derive(Debug)]
#[expect(dead_code, reason = "some of it is only printed")]
pub(super) enum Happened {
    Asked {
        request: Request,
        client: Process,
        what: &'static str,
        resources: Bits,
        within: Option<Duration>,
    },
    Granted {
        request: Request,
        client: Process,
        value: Value,
        token: Option<FencingToken>,
        valid_until: Millis,
    },
    /// A client asks for a renewal.
    Renewing {
        request: Request,
        client: Process,
        value: Value,
        ttl: Duration,
    },
    Renewed {
        request: Request,
        value: Value,
        valid_until: Millis,
    },
    /// A renewal came to nothing that is known, and the lock that the client has says that it is valid until then.
    NotRenewed {
        request: Request,
        value: Value,
        why: &'static str,
        valid_until: Millis,
    },
    /// A copy of a lock that a client holds says that it is valid, and until when.
    Viewed {
        client: Process,
        value: Value,
        valid_until: Millis,
    },
    /// It came to nothing.
    Failed {
        request: Request,
        why: &'static str,
    },
    /// A client no longer holds what it was granted.
    Ended {
        value: Value,
        how: How,
        valid_until: Millis,
    },
    /// A connection took an operation. With a lock, to which servers it could go at once.
    Sent {
        client: Process,
        server: usize,
        verb: Verb,
        value: Value,
        idle: Bits,
    },
    Ran {
        client: Process,
        server: usize,
        verb: Verb,
        value: Value,
        resources: Bits,
        did: Did,
        /// Until when all its keys stand with this value, if they do.
        stands: Option<Millis>,
    },
    Answered {
        client: Process,
        server: usize,
        verb: Verb,
        value: Value,
        did: Did,
    },
    /// A client can reach a server from now on, or no more.
    Reached {
        client: Process,
        server: usize,
        is_reached: bool,
    },
    Told {
        client: Process,
        news: News,
    },
    Struck(Strike),
    /// All is well again, and no new locks are asked for.
    Healed,
    /// A client says for too long that a server is up, or down, which is not so.
    Misjudged {
        client: Process,
        server: usize,
        is_up: bool,
        lasts: Duration,
    },
    /// Something that must not be, seen while it ran.
    Wrong(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Unlocked,
    HandedOver,
    /// It is left to its ttl.
    Abandoned,
    Lost,
    /// Its process was killed.
    Killed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    Done,
    Missing,
    Held,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Up(usize),
    Down(usize),
    Connected,
    Disconnected,
    Closed,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            entries: Vec::with_capacity(2_048),
            values: HashMap::new(),
            requests: 0,
        }
    }

    pub(super) fn note(&mut self, what: Happened) {
        let at = self.millis(Instant::now());
        self.entries.push(Entry { at, what });
    }

    pub(super) fn asked(
        &mut self,
        client: Process,
        what: &'static str,
        resources: Bits,
        within: Option<Duration>,
    ) -> Request {
        self.requests += 1;
        let request = Request(self.requests);
        self.note(Happened::Asked {
            request,
            client,
            what,
            resources,
            within,
        });
        request
    }

    pub(super) fn value(&mut self, value: &Arc<str>) -> Value {
        let next = Value(u32::try_from(self.values.len()).unwrap_or(u32::MAX));
        *self.values.entry(Arc::clone(value)).or_insert(next)
    }

    pub(super) fn millis(&self, at: Instant) -> Millis {
        let since = at.saturating_duration_since(self.start);
        Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<&Outcome> for Did {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Done | Outcome::Fenced(_) => Self::Done,
            Outcome::Missing => Self::Missing,
            Outcome::Held { .. } => Self::Held,
            Outcome::Failed(_) => Self::Failed,
        }
    }
}

impl Bits {
    pub(super) fn of(numbers: impl IntoIterator<Item = usize>) -> Self {
        Self(numbers.into_iter().fold(0, |bits, number| bits | 1 << number))
    }

    pub(super) fn has(self, number: usize) -> bool {
        self.0 & 1 << number != 0
    }

    pub(super) fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    pub(super) fn overlap(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One line for each entry.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.entries {
            writeln!(f, "{entry}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7} {:?}", self.at.0, self.what)
    }
}

impl fmt::Debug for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries((0..32).filter(|number| self.has(*number)))
            .finish()
    }
}
