//! The ttl, the drift, which call to make, what waiting costs, and what an error asks for.
//!
//! # Which ttl should I choose?
//!
//! **10 s for a guard. For a plain lock, three times what the work takes at the most.**
//!
//! A [`Guard`](crate::Guard) is renewed at a third of its validity, so the ttl need not cover the work. It weighs two times against
//! each other: for how long a resource stays locked after its owner crashed, at most the ttl; and for how long a guard bears
//! that no majority can be reached. If that begins right before a renewal, two thirds of the validity are left.
//!
//! | ttl | locked after a crash, at most | outage that a guard outlives | renewed every | after a failure again every |
//! |:--|--:|--:|--:|--:|
//! | 3 s | 3 s | 1.9 s | 1.0 s | 150 ms |
//! | 10 s | 10 s | 6.6 s | 3.3 s | 500 ms |
//! | 30 s | 30 s | 19.9 s | 10 s | 1.5 s |
//! | 60 s | 60 s | 39.9 s | 20 s | 3 s |
//!
//! An outage lasts until there are connections again, which are made up to 5 s after the servers are back, unless
//! [`reconnect`](crate::Builder::reconnect) says otherwise. A pause of your own process, for swapping or a virtual machine that
//! is moved, counts as an outage too.
//!
//! - Choose less, 1 to 3 s, if another has to take over soon. Below 1 s the drift of 100 ms and a hiccup of the network take
//!   most of it.
//! - Choose more, 30 to 60 s, if the work is long, costly to begin again, and nobody minds to wait for that after a crash.
//! - A guard costs each server a renewal and a look each third of the validity: at 10 s, 0.6 operations a second.
//!
//! A [`Lock`](crate::Lock) is not renewed unless you do it. If the work may take longer than you thought, it is not the ttl that
//! has to grow: [acquire](#lock-or-acquire) a guard. With a [restart guard](crate::Builder::restart_guard) no ttl may be longer
//! than that is for, and a server that was started again waits for the longest ttl of all: one more reason to renew a short
//! one rather than to take a long one.
//!
//! ```
//! use multiredlock::{Redlock, testing::MemoryServer};
//! use std::time::Duration;
//! use tokio::time::sleep;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let servers = [MemoryServer::new(), MemoryServer::new(), MemoryServer::new()];
//! let redlock = Redlock::builder().servers(&servers).build()?;
//! let guard = redlock.acquire("report", Duration::from_secs(10)).await?;
//!
//! // For three seconds there is no majority.
//! servers[0].crash();
//! servers[1].crash();
//! sleep(Duration::from_secs(3)).await;
//! servers[0].restart();
//!
//! sleep(Duration::from_secs(60)).await;
//! assert!(guard.is_valid());
//! # Ok(())
//! # }
//! ```
//!
//! # Which drift?
//!
//! **The default of 100 ms for a ttl from 1 s to 1 minute, else `Drift::factor(0.01)`.**
//!
//! The [drift](crate::Drift) is by how much the clocks of servers and client may come apart over one ttl. It is taken off the
//! validity. ntpd corrects a clock by at most 500 ppm. If it does so one way on a server and the other way on the client, they
//! come apart by 60 ms in a minute, and by 3.6 s in an hour. [`Drift::factor(0.01)`](crate::Drift::factor) is a hundredth of the
//! ttl and 2 ms, ten times as much, and leaves more of a ttl below 1 s. chrony may correct by 83,333 ppm, a twelfth, unless
//! `maxslewrate` in its configuration says less: set it to 500 on servers and clients. A clock that is set at once is beyond
//! any drift; it is told as a [warning](crate::event::Warning::ClockAhead).
//!
//! ```
//! use multiredlock::Drift;
//! use std::time::Duration;
//!
//! let drifts = |ttl| [Drift::default(), Drift::factor(0.01).unwrap()].map(|drift| drift.of(ttl));
//! assert_eq!(drifts(Duration::from_millis(500)), [100, 7].map(Duration::from_millis));
//! assert_eq!(drifts(Duration::from_secs(10)), [100, 102].map(Duration::from_millis));
//! assert_eq!(drifts(Duration::from_secs(3_600)), [100, 36_002].map(Duration::from_millis));
//! ```
//!
//! # `lock` or `acquire`?
//!
//! **[`acquire`](crate::Redlock::acquire), unless the lock has to outlive the task that took it.**
//!
//! | you want | take |
//! |:--|:--|
//! | to do some work, when it is your turn | [`using`](crate::Redlock::using), or `acquire` |
//! | the same on a thread, for work that blocks | `acquire`, and on that [`using_blocking`] |
//! | the same in a program without tokio | [`using` of the module `blocking`](#and-without-async) |
//! | to leave it if somebody else is at it, as a job that each process starts | [`try_acquire`](crate::Redlock::try_acquire) |
//! | to try for a moment, and to tell a user who has it | [`lock`](crate::Redlock::lock) |
//! | a lock to store or to hand to another process | `lock`, or [`Guard::into_lock`](crate::Guard::into_lock) |
//! | to forbid something for a time | [`try_lock`](crate::Redlock::try_lock), without an unlock |
//!
//! [`using_blocking`]: crate::future::AcquireRequest::using_blocking
//!
//! | | `lock` | `acquire` |
//! |:--|:--|:--|
//! | tries | 4 attempts, with waits of at most 100 ms: see [`Retry`](crate::Retry) | until it is granted, or [`timeout`] a time |
//! | order | none: chance decides | first come, first served within a client and its clones; turns between processes |
//! | without a majority | [`NoQuorum`](crate::LockError::NoQuorum) after the last attempt | waits for one |
//! | renewal | when you call [`renew`](crate::Redlock::renew) | by itself, for ever or up to [`max_hold`] |
//! | loss | you look at [`is_valid`](crate::Lock::is_valid) | you are told |
//! | when dropped | stays locked until its ttl is over | unlocked |
//!
//! [`timeout`]: crate::future::AcquireRequest::timeout
//! [`max_hold`]: crate::future::AcquireRequest::max_hold
//!
//! A lock belongs to a value that is made anew for each call, and not to a thread, task or process. So nothing is re-entrant:
//! who acquires what it holds already waits for itself. Hand the guard on by reference.
//!
//! # And without `async`?
//!
//! **Enable the feature `blocking`, and take `Redlock` from the module `multiredlock::blocking`.**
//!
//! It has the same calls for threads: `.wait()` in place of `.await`, and closures in place of async ones. Your program needs no tokio:
//! each client runs its tasks on one thread of its own. Inside a tokio runtime these calls return an error, since they would stop
//! the tasks of that runtime. Call them in `spawn_blocking`, or use the async client.
//!
//! ```
//! # #[cfg(feature = "blocking")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use multiredlock::blocking::Redlock;
//! use std::time::Duration;
//!
//! let redlock = Redlock::builder().servers(["memory://a", "memory://b", "memory://c"]).build_blocking()?;
//! let guard = redlock.acquire("report", Duration::from_secs(10)).timeout(Duration::from_secs(30)).wait()?;
//! // The client's thread renews the lock meanwhile.
//! assert!(guard.is_valid());
//! drop(guard);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "blocking"))]
//! # fn main() {}
//! ```
//!
//! # What does it cost while I wait?
//!
//! **Next to nothing, as long as nothing changes.**
//!
//! - *Servers.* Only the first in line of each client asks, and it is told by the servers when to ask again. It asks every
//!   5 s in any case. 1,000 waiters in 4 processes, for one resource, made 2 commands a second on three servers together; the
//!   heartbeats made 14.
//! - *Memory.* Some 1.8 kB for each waiter, its task included.
//! - *Time.* Who waits alone in another process has the resource within 2.4 times the time of a lone lock after the unlock.
//!   Within a client the next one's lock travels behind the unlock, so that a turn costs one round trip.
//!
//! It is told by client tracking. If fewer servers than a majority do so (RESP2, or an ACL without `client|tracking`, which is a
//! [warning](crate::event::Warning::TrackingDenied)), or if some refuse with an error or do not answer an attempt in time, it asks some
//! ten times a second.
//!
//! Use one client and its clones in a process: two clients stand in two lines, and each has connections of its own. Poll the
//! future that waits until it is done or dropped: while it stands first in line nobody behind it has a turn.
//!
//! ```
//! use multiredlock::{LockError, Redlock, testing::MemoryServer};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = MemoryServer::new();
//! let redlock = Redlock::builder().servers([&server]).id("web-3").build()?;
//! let _guard = redlock.acquire("invoices", Duration::from_secs(10)).await?;
//!
//! // It would wait for as long as the guard is there.
//! let other = Redlock::builder().servers([&server]).build()?;
//! let waiting = other.acquire("invoices", Duration::from_secs(10)).timeout(Duration::from_secs(30));
//! let Err(LockError::TimedOut { cause: Some(cause), .. }) = waiting.await else { panic!("nobody let go") };
//! let LockError::Held { owner: Some(owner), .. } = *cause else { panic!("{cause}") };
//! assert_eq!(owner.id, "web-3");
//! # Ok(())
//! # }
//! ```
//!
//! # What do I do about an error?
//!
//! Print it: it names the resource, the attempts, who is in the way, and what each server said. Nothing has to be undone. An unlock
//! follows each key that a server granted.
//!
//! | [`LockError`](crate::LockError) | what to do |
//! |:--|:--|
//! | `Held` | Skip the work, come back, or `acquire`. `retry_after` tells when the keys expire if the owner does nothing. |
//! | `NoQuorum` | Treat it as an outage. `failure.votes` has each server's reason; `wait_connected()` waits for the end. |
//! | `Refused` | Look at the votes. A lack of permission does not pass by itself; a lack of memory may. |
//! | `Expired` | The servers, or this process, were too slow for this ttl: take a longer one. |
//! | `TimedOut` | The `timeout` of the call is over. `cause` says why the last attempt failed. |
//! | `Invalid` | Correct the call. Nothing was sent. |
//! | `Closed` | The client was closed, as when the program ends. |
//!
//! Do not put a loop around `lock`: that is `acquire`, without its line.
