//! Those contenders that can wait for a resource until it is theirs.

mod multiredlock;
mod rslock;

use std::{future::Future, time::Duration};

use super::Contender;
use crate::Result;

pub trait Waiting: Contender {
    /// What a waiter keeps while the resource is its own.
    type Turn: Send + 'static;

    /// Waits for a resource as long as it takes, in the way that the contender offers and with its defaults.
    fn acquire(&self, resource: &str, ttl: Duration) -> impl Future<Output = Result<Self::Turn>> + Send;

    /// Gives the resource to whoever is next.
    fn end_turn(&self, turn: Self::Turn) -> impl Future<Output = Result<()>> + Send;
}

/// Calls a function that is generic over a waiting contender with the one that `$name` names.
macro_rules! with_waiting {
    ($name:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $name {
            $crate::contenders::Name::Multiredlock => $function::<$crate::contenders::Multiredlock>($($argument),*).await,
            $crate::contenders::Name::Rslock => $function::<$crate::contenders::Rslock>($($argument),*).await,
            name => Err(format!("{name} cannot wait for a resource").into()),
        }
    };
}

pub(crate) use with_waiting;
