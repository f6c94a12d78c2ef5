//! Takes a lock on one server alone, as a lock is taken on all: what works there, works.

use crate::{
    commands::doctor::facts::{Trial, Trouble},
    connect::all_tried,
    exit::Failure,
    fence,
    settings::Settings,
};
use multiredlock::{
    Drift, LockError, Redlock, RenewError, Retry, Server,
    error::{Refusal, Vote},
    status::{DownReason, ServerState},
};
use std::time::Duration;
use tokio::time::timeout;

/// After which nothing is left of a trial that was broken off, its token included.
pub(super) const TTL: Duration = Duration::from_secs(5);

/// How long each attempt waits: for longer than a lock that is worth it.
const ATTEMPT: Duration = Duration::from_secs(1);

const FAREWELL: Duration = Duration::from_millis(500);

/// A name that nobody else uses.
pub(super) fn name() -> String {
    use std::hash::{BuildHasher, RandomState};
    // The keys of the hash are random, and others each time.
    let random = || RandomState::new().hash_one(std::process::id());
    format!("doctor-{:016x}{:016x}", random(), random())
}

/// A client of one server alone.
pub(super) struct Alone {
    redlock: Redlock,
    prefix: String,
}

impl Alone {
    /// Fails only on settings that make no sense.
    pub(super) fn new(settings: &Settings, server: Server) -> Result<Self, Failure> {
        let mut alone = settings.clone();
        // Nobody can have held what is locked here before the server was started.
        alone.restart_guard = None;
        let builder = alone.set_up(Redlock::builder().servers([server]));
        Ok(Self {
            redlock: builder.fence_expiry(TTL).build()?,
            prefix: settings.key_prefix.clone().unwrap_or_default(),
        })
    }

    /// Waits until it is known whether it can be reached.
    pub(super) async fn state(&self) -> ServerState {
        all_tried(&self.redlock).await;
        let server = self.redlock.servers().pop();
        server.map_or(ServerState::Down(DownReason::NotYet), |server| server.state)
    }

    pub(super) async fn run(&self) -> Trial {
        let refused = match locked(&self.redlock, &self.prefix, true).await {
            Ok(()) => return Trial::Works,
            Err(refused) => refused,
        };
        match locked(&self.redlock, &self.prefix, false).await {
            Ok(()) => Trial::NoTokens(refused),
            Err(refused) => Trial::Fails(refused),
        }
    }

    pub(super) async fn close(self) {
        let _ = timeout(FAREWELL, self.redlock.close()).await;
    }
}

/// Locks, renews and unlocks.
async fn locked(redlock: &Redlock, prefix: &str, with_token: bool) -> Result<(), Trouble> {
    let name = name();
    let drift = Drift::fixed(Duration::ZERO);
    let request = redlock.lock(name.as_str(), TTL).retry(Retry::none());
    let request = request.drift(drift).attempt_timeout(ATTEMPT);
    let request = if with_token { request.fenced() } else { request };
    let lock = request.await.map_err(|error| of_lock(&error))?;
    let renewed = redlock.renew(&lock, TTL).drift(drift).attempt_timeout(ATTEMPT).await;
    let unlocked = redlock.unlock(&lock).counts().await;
    if let Some(fence) = fence::of(&lock, prefix) {
        redlock.unlock(&fence).counts().await;
    }
    let _ = renewed.map_err(|error| of_renewal(&error))?;
    if unlocked.removed == 1 {
        return Ok(());
    }
    Err(Trouble {
        what: "an unlock",
        words: "the key was not removed".into(),
        is_permission: false,
    })
}

fn of_lock(error: &LockError) -> Trouble {
    let failure = match error {
        LockError::Held { failure, .. }
        | LockError::Refused { failure, .. }
        | LockError::TooSlow { failure, .. }
        | LockError::NoQuorum { failure, .. }
        | LockError::Expired { failure, .. } => Some(failure),
        _ => None,
    };
    trouble("a lock", failure.map(|failure| &failure.votes[0].vote), error)
}

fn of_renewal(error: &RenewError) -> Trouble {
    let failure = match error {
        RenewError::Lost { failure, .. }
        | RenewError::Unknown { failure, .. }
        | RenewError::Expired { failure, .. } => Some(failure),
        _ => None,
    };
    trouble("a renewal", failure.map(|failure| &failure.votes[0].vote), error)
}

/// There is one server, and one vote.
fn trouble(what: &'static str, vote: Option<&Vote>, error: &dyn std::error::Error) -> Trouble {
    let words = match vote {
        Some(Vote::Refused(refusal)) => refusal.to_string(),
        Some(Vote::Unreachable(reason)) => reason.to_string(),
        Some(Vote::OutcomeUnknown) => "the connection was lost".into(),
        Some(Vote::TimedOut) => "no answer in time".into(),
        _ => error.to_string(),
    };
    Trouble {
        what,
        words,
        is_permission: matches!(vote, Some(Vote::Refused(Refusal::NoPermission))),
    }
}
