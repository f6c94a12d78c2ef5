//! What a process that a measurement starts is to do, as it stands on that process's command line.

use std::{net::SocketAddr, time::Duration};

use super::list;
use crate::{Result, contenders::Name};

pub struct Child {
    pub contender: Name,
    pub addresses: Vec<SocketAddr>,
    pub role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Holds locks, and tells what they take of the memory.
    Hold { locks: usize },
    /// Has waiters take turns at one resource for this long. They are numbered from the first one on.
    Contend { first: u32, waiters: u32, window: Duration },
    /// Takes over the lock of the process that started it, again and again.
    TakeOver,
    /// Locks, waits and cancels until it is told to finish.
    Soak { generation: u32, seed: u64 },
    /// Holds guards that were acquired at once, until it is told to release them.
    Guards { guards: usize },
    /// Waits for a resource that many processes want, holds it for a moment and ends.
    Herd { process: usize },
    /// Has waiters wait for resources that somebody else holds, and tells what they take of the memory.
    Wait { first: u32, waiters: u32, resources: u32 },
}

impl Child {
    /// The words that [`parse`](Self::parse) reads.
    pub fn arguments(&self) -> Vec<String> {
        let addresses: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        let (word, numbers) = match self.role {
            Role::Hold { locks } => ("hold", vec![locks.to_string()]),
            Role::Contend { first, waiters, window } => {
                let window = window.as_secs_f64().to_string();
                ("contend", vec![first.to_string(), waiters.to_string(), window])
            }
            Role::TakeOver => ("take-over", Vec::new()),
            Role::Soak { generation, seed } => ("soak-client", vec![generation.to_string(), seed.to_string()]),
            Role::Guards { guards } => ("guards", vec![guards.to_string()]),
            Role::Herd { process } => ("herd", vec![process.to_string()]),
            Role::Wait {
                first,
                waiters,
                resources,
            } => (
                "wait",
                [first, waiters, resources].map(|number| number.to_string()).into(),
            ),
        };
        let mut arguments = vec![word.to_owned(), self.contender.to_string(), addresses.join(",")];
        arguments.extend(numbers);
        arguments
    }

    /// Reads what follows the first word, if that is the word of a role.
    pub(super) fn parse(word: &str, mut rest: impl Iterator<Item = String>) -> Option<Result<Self>> {
        let role: fn(&mut Words<'_>) -> Result<Role> = match word {
            "hold" => |words| {
                Ok(Role::Hold {
                    locks: words.next()?.parse()?,
                })
            },
            "contend" => |words| {
                Ok(Role::Contend {
                    first: words.next()?.parse()?,
                    waiters: words.next()?.parse()?,
                    window: Duration::try_from_secs_f64(words.next()?.parse()?)?,
                })
            },
            "take-over" => |_| Ok(Role::TakeOver),
            "soak-client" => |words| {
                Ok(Role::Soak {
                    generation: words.next()?.parse()?,
                    seed: words.next()?.parse()?,
                })
            },
            "guards" => |words| {
                Ok(Role::Guards {
                    guards: words.next()?.parse()?,
                })
            },
            "herd" => |words| {
                Ok(Role::Herd {
                    process: words.next()?.parse()?,
                })
            },
            "wait" => |words| {
                Ok(Role::Wait {
                    first: words.next()?.parse()?,
                    waiters: words.next()?.parse()?,
                    resources: words.next()?.parse()?,
                })
            },
            _ => return None,
        };
        let mut words = Words(&mut rest);
        let mut child = || {
            Ok(Self {
                contender: words.next()?.parse()?,
                addresses: list(&words.next()?)?,
                role: role(&mut words)?,
            })
        };
        Some(child())
    }
}

struct Words<'a>(&'a mut dyn Iterator<Item = String>);

impl Words<'_> {
    fn next(&mut self) -> Result<String> {
        self.0.next().ok_or_else(|| "a word is missing after the role".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_for_a_child_is_what_it_reads() {
        let roles = [
            Role::Hold { locks: 7 },
            Role::Contend {
                first: 5,
                waiters: 10,
                window: Duration::from_millis(250),
            },
            Role::TakeOver,
            Role::Guards { guards: 5_000 },
            Role::Herd { process: 199 },
            Role::Wait {
                first: 750,
                waiters: 250,
                resources: 1_000,
            },
        ];
        for role in roles {
            let child = Child {
                contender: Name::PlainFred,
                addresses: vec![
                    "127.0.0.1:1".parse().expect("an address"),
                    "127.0.0.1:2".parse().expect("one"),
                ],
                role,
            };
            let mut words = child.arguments().into_iter();
            let word = words.next().expect("the role comes first");
            let read = Child::parse(&word, words)
                .expect("it is a role")
                .expect("it is complete");
            assert_eq!(
                (read.contender, read.addresses, read.role),
                (child.contender, child.addresses, role)
            );
        }
    }
}
