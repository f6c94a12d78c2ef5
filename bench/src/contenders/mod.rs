//! What is compared. Every contender does the same work on the same servers through the same three verbs.

mod floor;
mod multiredlock;
mod plain_fred;
mod rslock;

use std::{fmt, future::Future, net::SocketAddr, time::Duration};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::Result;

pub use self::{
    floor::Floor,
    multiredlock::{Fenced, Guarded, Multiredlock, builder, connected},
    plain_fred::PlainFred,
    rslock::Rslock,
};

/// A lock on a majority of servers, with one connection to each.
pub trait Contender: Send + Sync + Sized + 'static {
    /// What a caller keeps while it holds a resource.
    type Held: Send + 'static;

    /// Returns when every server is connected.
    fn connect(addresses: &[SocketAddr]) -> impl Future<Output = Result<Self>> + Send;

    /// Locks a resource that nobody else wants. Ends at the earliest answer that settles it, where the contender can.
    fn lock(&self, resource: &str, ttl: Duration) -> impl Future<Output = Result<Self::Held>> + Send;

    /// Unlocks on every server and waits for all of their answers.
    fn unlock(&self, held: Self::Held) -> impl Future<Output = Result<()>> + Send;

    /// Unlocks on every server and waits for none of them.
    fn release(&self, held: Self::Held);

    /// Closes every connection and ends every task.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// A contender that can wait for a resource until it is its own.
pub trait Waiting: Contender {
    /// What a waiter keeps while the resource is its own.
    type Turn: Send + 'static;

    /// Waits for a resource as long as it takes, in the way that the contender offers and with its defaults.
    fn acquire(&self, resource: &str, ttl: Duration) -> impl Future<Output = Result<Self::Turn>> + Send;

    /// Releases the resource for the next waiter.
    fn end_turn(&self, turn: Self::Turn) -> impl Future<Output = Result<()>> + Send;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Name {
    Multiredlock,
    /// The same with fencing tokens.
    Fenced,
    /// The same with a restart guard.
    #[value(name = "restart-guard", alias = "restart guard")]
    Guarded,
    #[value(alias = "plain fred")]
    PlainFred,
    Rslock,
    Floor,
}

impl Name {
    pub const ALL: [Self; 6] = [
        Self::Multiredlock,
        Self::Fenced,
        Self::Guarded,
        Self::PlainFred,
        Self::Rslock,
        Self::Floor,
    ];
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Multiredlock => "multiredlock",
            Self::Fenced => "fenced",
            Self::Guarded => "restart guard",
            Self::PlainFred => "plain fred",
            Self::Rslock => "rslock",
            Self::Floor => "floor",
        })
    }
}

/// Calls a function that is generic over its contender with the one that `$name` names.
macro_rules! with_contender {
    ($name:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $name {
            $crate::contenders::Name::Multiredlock => $function::<$crate::contenders::Multiredlock>($($argument),*).await,
            $crate::contenders::Name::Fenced => $function::<$crate::contenders::Fenced>($($argument),*).await,
            $crate::contenders::Name::Guarded => $function::<$crate::contenders::Guarded>($($argument),*).await,
            $crate::contenders::Name::PlainFred => $function::<$crate::contenders::PlainFred>($($argument),*).await,
            $crate::contenders::Name::Rslock => $function::<$crate::contenders::Rslock>($($argument),*).await,
            $crate::contenders::Name::Floor => $function::<$crate::contenders::Floor>($($argument),*).await,
        }
    };
}

pub(crate) use with_contender;

/// The same for the contenders that can wait.
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

/// What is held by the contenders that bring nothing of their own.
pub struct Held {
    resource: String,
    /// A fresh proof of ownership.
    value: String,
}

impl Held {
    fn new(resource: &str) -> Self {
        Self {
            resource: resource.to_owned(),
            value: format!("{:032x}", fastrand::u128(..)),
        }
    }
}

/// Deletes the resource if it still carries our value: what plain fred and the floor unlock with.
const UNLOCK: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
";

fn quorum(servers: usize) -> usize {
    servers / 2 + 1
}
