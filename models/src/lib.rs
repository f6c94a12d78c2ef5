//! Models of what the library does on three servers for three clients, small enough to look at every state they can get into.
//!
//! [`fencing`] is about the order of tokens while locks may end at any moment. [`restart`] is about exclusion while servers lose
//! their memory. Each can be built without the rule it is about; the checker then finds how it fails.

pub mod fencing;
pub mod restart;

/// How many servers and clients there are.
pub const SERVERS: usize = 3;
/// How many of the servers are a majority.
pub const MAJORITY: u32 = 2;
/// How many clients there are.
pub const CLIENTS: usize = 3;

/// A set of servers or clients, a bit for each.
type Set = u8;

fn has(set: Set, member: usize) -> bool {
    set & (1 << member) != 0
}

fn with(set: Set, member: usize) -> Set {
    set | (1 << member)
}

fn members(set: Set) -> impl Iterator<Item = usize> {
    (0..8).filter(move |member| has(set, *member))
}
