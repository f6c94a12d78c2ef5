//! Requests: awaited as they are, or adjusted first.

mod acquire;
mod lock;
mod owner;
mod renew;
mod unlock;

pub use acquire::AcquireRequest;
pub use lock::LockRequest;
pub use owner::{OwnerRequest, Ownership, Survey};
pub use renew::RenewRequest;
pub use unlock::{Releasing, Unlocked, Unlocking};

use std::{future::Future, pin::Pin, time::Duration};
use tracing::{Span, field};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How long a round waits for the votes that would decide it, unless it is set: a tenth of the ttl within bounds.
fn default_round_timeout(ttl: Duration) -> Duration {
    (ttl / 10).clamp(Duration::from_millis(50), Duration::from_secs(1))
}

/// Notes in a span how a call came out, and returns what that is called where things are counted.
fn outcome<T, E>(
    span: &Span,
    result: &Result<T, E>,
    validity: impl Fn(&T) -> Duration,
    name: impl Fn(&E) -> &'static str,
) -> &'static str {
    let outcome = match result {
        Ok(granted) => {
            span.record("validity", field::debug(validity(granted)));
            "granted"
        }
        Err(error) => name(error),
    };
    span.record("outcome", outcome);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_lasts_a_tenth_of_the_ttl_within_bounds() {
        let ms = Duration::from_millis;
        assert_eq!(default_round_timeout(ms(200)), ms(50));
        assert_eq!(default_round_timeout(ms(2_000)), ms(200));
        assert_eq!(default_round_timeout(ms(60_000)), ms(1_000));
    }
}
