//! What is left of a ttl once the attempt and the drift between the clocks are taken off.

use std::time::Duration;

/// The longest ttl that is accepted: in milliseconds the largest whole number that a script of Redis holds exactly,
/// some 285,000 years.
pub(crate) const LONGEST_TTL: Duration = Duration::from_millis(1 << 53);

/// The shortest validity that a lock can be granted for.
const SHORTEST_VALIDITY: Duration = Duration::from_millis(1);

/// How much the clocks of the servers may drift apart from ours while a lock is held.
///
/// It is taken off every lock's validity.
///
/// # Default
///
/// `Drift::fixed(100 ms)`, as in the node library `multiredlock`. `Drift::factor(0.01)` is what the
/// [Redis page on distributed locks](https://redis.io/docs/latest/develop/use/patterns/distributed-locks/) suggests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift(Kind);

// No factor is NaN.
impl Eq for Drift {}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Fixed(Duration),
    Factor(f64),
}

impl Drift {
    /// The same drift whatever the ttl.
    pub const fn fixed(drift: Duration) -> Self {
        Self(Kind::Fixed(drift))
    }

    /// A share of the TTL, plus 2 ms for the precision with which Redis expires keys.
    ///
    /// # Errors
    ///
    /// [`InvalidDrift`] unless `factor` is at least 0 and below 1.
    ///
    /// ```
    /// use multiredlock::Drift;
    /// use std::time::Duration;
    ///
    /// let drift = Drift::factor(0.01)?;
    /// assert_eq!(drift.of(Duration::from_secs(10)), Duration::from_millis(102));
    /// assert_eq!(Drift::factor(7.0).unwrap_err().to_string(), "drift factor 7 must be at least 0 and below 1");
    /// # Ok::<(), multiredlock::error::InvalidDrift>(())
    /// ```
    pub const fn factor(factor: f64) -> Result<Self, InvalidDrift> {
        if factor >= 0.0 && factor < 1.0 {
            Ok(Self(Kind::Factor(factor)))
        } else {
            Err(InvalidDrift { bits: factor.to_bits() })
        }
    }

    /// Returns the drift of a lock that is asked for with this ttl.
    pub fn of(&self, ttl: Duration) -> Duration {
        match self.0 {
            Kind::Fixed(drift) => drift,
            Kind::Factor(factor) => Duration::try_from_secs_f64(ttl.as_secs_f64() * factor)
                .unwrap_or(ttl)
                .saturating_add(Duration::from_millis(2)),
        }
    }
}

impl Default for Drift {
    fn default() -> Self {
        Self::fixed(Duration::from_millis(100))
    }
}

/// A drift factor that is not at least 0 and below 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("drift factor {} must be at least 0 and below 1", self.factor())]
pub struct InvalidDrift {
    /// So that errors can be compared.
    bits: u64,
}

impl InvalidDrift {
    /// Returns the factor.
    pub fn factor(&self) -> f64 {
        f64::from_bits(self.bits)
    }
}

/// A ttl that Redis takes and that leaves some validity, in whole milliseconds, with its drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ttl {
    millis: u64,
    /// Less than the ttl, unless that was cut.
    drift: Duration,
}

impl Ttl {
    /// Rounds the ttl down to whole milliseconds and checks it against its drift and against what Redis takes.
    pub(crate) fn new(ttl: Duration, drift: Drift) -> Result<Self, InvalidTtl> {
        let millis = u64::try_from(ttl.as_millis())
            .ok()
            .filter(|millis| Duration::from_millis(*millis) <= LONGEST_TTL)
            .ok_or(InvalidTtl::TooLong {
                ttl,
                longest: LONGEST_TTL,
            })?;
        let whole = Duration::from_millis(millis);
        let drift = drift.of(whole);
        match drift.checked_add(SHORTEST_VALIDITY) {
            Some(shortest) if whole >= shortest => Ok(Self { millis, drift }),
            _ => Err(InvalidTtl::TooShort { ttl, drift }),
        }
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(self.millis)
    }

    /// The ttl less its drift: what a lock that took no time at all would be valid for.
    pub(crate) fn promised(self) -> Duration {
        self.duration().saturating_sub(self.drift)
    }

    /// The same drift of a shorter ttl, of which there may be nothing left.
    pub(crate) fn at_most(self, ttl: Duration) -> Self {
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        Self {
            millis: self.millis.min(millis),
            ..self
        }
    }

    /// What is left after `elapsed`, or nothing if the attempt took too long to be of use.
    pub(crate) fn validity(self, elapsed: Duration) -> Option<Duration> {
        self.promised().checked_sub(elapsed).filter(|left| !left.is_zero())
    }
}

/// A ttl that cannot lead to a lock. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTtl {
    /// The drift would leave less than a millisecond of validity.
    #[error("ttl ({ttl:?}) must exceed the drift ({drift:?}) by at least 1ms")]
    #[non_exhaustive]
    TooShort {
        /// The ttl that was asked for.
        ttl: Duration,
        /// The drift at that ttl.
        drift: Duration,
    },
    /// Redis does not take a ttl this long.
    #[error("ttl ({ttl:?}) must not exceed {longest:?}")]
    #[non_exhaustive]
    TooLong {
        /// The ttl that was asked for.
        ttl: Duration,
        /// The longest ttl that is taken.
        longest: Duration,
    },
    /// A server that was started again would vote too soon for locks with this ttl.
    #[error("ttl ({ttl:?}) must not exceed the longest that the restart guard is for ({max_ttl:?})")]
    #[non_exhaustive]
    OutlivesRestartGuard {
        /// The ttl that was asked for.
        ttl: Duration,
        /// The longest ttl that is taken: [`Builder::restart_guard`](crate::Builder::restart_guard).
        max_ttl: Duration,
    },
    /// The servers would forget the token of a fenced lock while it is held.
    #[error("ttl ({ttl:?}) of a fenced lock must not exceed the fence expiry ({fence_expiry:?})")]
    #[non_exhaustive]
    OutlivesFence {
        /// The ttl that was asked for.
        ttl: Duration,
        /// How long the servers remember a token: [`Builder::fence_expiry`](crate::Builder::fence_expiry).
        fence_expiry: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn validity_is_ttl_less_elapsed_less_drift() {
        let ttl = Ttl::new(ms(10_000), Drift::default()).unwrap();
        assert_eq!(ttl.validity(ms(3)), Some(ms(9_897)));
        assert_eq!(ttl.validity(ms(9_900)), None);
        let ttl = Ttl::new(ms(10_000), Drift::factor(0.01).unwrap()).unwrap();
        assert_eq!(ttl.validity(ms(3)), Some(ms(9_895)));
    }

    #[test]
    fn a_ttl_that_leaves_no_validity_names_both_numbers() {
        let error = Ttl::new(ms(100), Drift::default()).unwrap_err();
        assert_eq!(
            error,
            InvalidTtl::TooShort {
                ttl: ms(100),
                drift: ms(100)
            }
        );
        assert!(Ttl::new(ms(101), Drift::default()).is_ok());
        assert!(Ttl::new(Duration::ZERO, Drift::fixed(Duration::ZERO)).is_err());
        assert!(Ttl::new(ms(1), Drift::fixed(Duration::ZERO)).is_ok());
        assert!(Ttl::new(ms(100), Drift::fixed(Duration::from_micros(99_001))).is_err());
    }

    #[test]
    fn sub_millisecond_parts_round_down() {
        let zero = Drift::fixed(Duration::ZERO);
        assert_eq!(Ttl::new(Duration::from_micros(1_999), zero).unwrap().duration(), ms(1));
        assert!(Ttl::new(Duration::from_micros(999), zero).is_err());
    }

    #[test]
    fn a_ttl_beyond_what_redis_takes_is_refused() {
        let (ttl, longest) = (Duration::MAX, LONGEST_TTL);
        let error = Ttl::new(ttl, Drift::default()).unwrap_err();
        assert_eq!(error, InvalidTtl::TooLong { ttl, longest });
        let words = "ttl (18446744073709551615.999999999s) must not exceed 9007199254740.992s";
        assert_eq!(error.to_string(), words);
        assert!(Ttl::new(LONGEST_TTL, Drift::default()).is_ok());
        assert!(Ttl::new(LONGEST_TTL + ms(1), Drift::default()).is_err());
    }

    #[test]
    fn a_factor_that_is_no_share_of_a_ttl_is_refused() {
        for factor in [-0.1, 1.0, 1.1, f64::NAN, f64::INFINITY] {
            let invalid = Drift::factor(factor).unwrap_err();
            let words = format!("drift factor {factor} must be at least 0 and below 1");
            assert_eq!(invalid.to_string(), words);
            assert_eq!(invalid, Drift::factor(factor).unwrap_err());
        }
        for factor in [0.0, 0.99] {
            assert!(Drift::factor(factor).is_ok());
        }
    }

    #[test]
    fn a_shorter_ttl_has_the_same_drift() {
        let ttl = Ttl::new(ms(10_000), Drift::default()).unwrap();
        let of = |ttl: Ttl| (ttl.duration(), ttl.promised());
        assert_eq!(of(ttl.at_most(ms(500))), (ms(500), ms(400)));
        assert_eq!(of(ttl.at_most(ms(50))), (ms(50), ms(0)));
        assert_eq!(ttl.at_most(Duration::MAX), ttl);
    }

    proptest! {
        #[test]
        fn validity_never_exceeds_the_ttl_and_never_panics(
            ttl in any::<Duration>(), fixed in any::<Duration>(), factor in 0.0..1.0, elapsed in any::<Duration>(),
        ) {
            for drift in [Drift::fixed(fixed), Drift::factor(factor).unwrap()] {
                if let Ok(checked) = Ttl::new(ttl, drift) {
                    prop_assert!(checked.promised() <= ttl);
                    if let Some(left) = checked.validity(elapsed) {
                        prop_assert!(left > Duration::ZERO);
                        prop_assert!(left <= ttl.saturating_sub(elapsed));
                    }
                }
            }
        }
    }
}
