//! Randomness for waits, which a simulation repeats.

use rand::{SeedableRng, rngs::SmallRng};

/// A generator of its own for each use. Nothing that has to be hard to guess comes from it.
pub(crate) fn for_waits() -> SmallRng {
    #[cfg(test)]
    if let Some(rng) = crate::simulation::library_rng() {
        return rng;
    }
    SmallRng::from_entropy()
}
