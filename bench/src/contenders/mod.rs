//! What is compared. Every contender does the same work on the same servers through the same three verbs.

mod floor;
mod multiredlock;
mod plain_fred;
mod rslock;
mod waiting;

use std::{error::Error, fmt, future::Future, net::SocketAddr, str::FromStr, time::Duration};

use crate::Result;

pub(crate) use self::waiting::with_waiting;
pub use self::{
    floor::Floor,
    multiredlock::{Fenced, Guarded, Multiredlock},
    plain_fred::PlainFred,
    rslock::Rslock,
    waiting::Waiting,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Multiredlock,
    /// The same with fencing tokens.
    Fenced,
    /// The same with a restart guard.
    Guarded,
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
    /// Those that can wait for a resource.
    pub const WAITING: [Self; 2] = [Self::Multiredlock, Self::Rslock];
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

impl FromStr for Name {
    type Err = Box<dyn Error + Send + Sync>;

    /// Reads a name as it is printed, or with a hyphen for the space, which needs no quotes in a shell.
    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|name| name.to_string() == text.replace('-', " "))
            .ok_or_else(|| format!("no contender is called `{text}`; try --help").into())
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

/// Deletes the resource if it still carries our value: what plain fred and the floor unlock with.
const UNLOCK: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
";

/// A fresh proof of ownership, for the contenders that bring none of their own.
fn fresh_value() -> String {
    format!("{:032x}", fastrand::u128(..))
}

fn quorum(servers: usize) -> usize {
    servers / 2 + 1
}
