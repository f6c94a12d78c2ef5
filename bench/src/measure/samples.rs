//! What repeated measurements have given.

use std::fmt::Display;

use crate::{Result, args::Effort, contenders::Name};

/// One measurement of one contender: its numbers, and what they are about.
pub struct Sample<K, N> {
    pub contender: Name,
    pub key: K,
    pub repeat: usize,
    pub numbers: N,
}

pub struct Samples<K, N>(pub Vec<Sample<K, N>>);

impl<K, N> Default for Samples<K, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Copy + PartialEq, N> Samples<K, N> {
    /// Measures each contender for each key, again and again. Each contender is first in turn, so that none always follows
    /// the same one.
    pub async fn take(
        what: &str,
        effort: Effort,
        keys: &[K],
        mut contenders: Vec<Name>,
        mut measure: impl AsyncFnMut(Name, K, usize) -> Result<N>,
    ) -> Result<Self>
    where
        K: Display,
    {
        let mut samples = Vec::new();
        for repeat in 0..effort.repeats {
            for &key in keys {
                for &contender in &contenders {
                    eprintln!("{what} {}/{}: {key}, {contender}", repeat + 1, effort.repeats);
                    let numbers = measure(contender, key, repeat).await?;
                    samples.push(Sample {
                        contender,
                        key,
                        repeat,
                        numbers,
                    });
                }
            }
            let first = 1.min(contenders.len());
            contenders.rotate_left(first);
        }
        Ok(Self(samples))
    }

    /// The measurements of one thing.
    pub fn of(&self, contender: Name, key: K) -> impl Iterator<Item = &Sample<K, N>> {
        let samples = self.0.iter();
        samples.filter(move |sample| (sample.contender, sample.key) == (contender, key))
    }

    /// What was measured, in the order of the first repeat.
    pub fn keys(&self) -> Vec<K> {
        distinct(self.0.iter().map(|sample| sample.key))
    }

    /// Whose numbers these are, in the order of the first repeat.
    pub fn contenders(&self) -> Vec<Name> {
        distinct(self.0.iter().map(|sample| sample.contender))
    }
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.fold(Vec::new(), |mut seen, item| {
        if !seen.contains(&item) {
            seen.push(item);
        }
        seen
    })
}
