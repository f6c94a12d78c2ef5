//! What to do when a lock is lost, and when only a fencing token helps.
//!
//! # What do I do when a lock is lost?
//!
//! **Stop, write nothing any more, and begin anew: acquire, read what the lock protects, go on.**
//!
//! A loss is final. From then on somebody else may have the resource, so whatever you know of it is out of date, and nothing
//! that you do to it is safe. Dropping the guard harms nobody, since an unlock removes no key but its own.
//!
//! | [`LockLost`](crate::LockLost) | what happened | when you are told |
//! |:--|:--|:--|
//! | `Gone` | a majority lost the keys: somebody removed them, or servers forgot them | within round trips, as the servers tell |
//! | `Expired` | no renewal came through, or this process was suspended | when the ttl, less the drift, is over |
//! | `MaxHold` | it was held for as long as you allowed | at most a ttl after `max_hold` |
//!
//! The servers begin to tell once a lock was held for 100 ms, or for a tenth of its ttl if that is less. They do not tell of a
//! FLUSHALL or FLUSHDB, nor without client tracking: then the next renewal finds out, after a third of the validity at the latest.
//!
//! There are four ways to find out; the first does the most for you:
//!
//! - [`using`](crate::Redlock::using) drops the work where it awaits something. Tasks that the work has spawned go on: end them
//!   when they are dropped, by a `JoinSet` for instance.
//! - [`lost`](crate::Guard::lost) is a branch of your own `select!`.
//! - [`is_valid`](crate::Guard::is_valid) is for code that blocks: look between two steps.
//! - [`ensure_valid_for(at_least)`](crate::Guard::ensure_valid_for) right before a write, with what the write takes at the most. Right before a
//!   renewal two thirds of the ttl are left, less the drift: at 10 s ask for no more than 6.5 s.
//!
//! What was done before the loss stays done, so the next owner has to be able to go on from there. Work in steps that can be
//! done twice, or in a transaction that is committed right after `ensure`.
//!
//! ```
//! use multiredlock::{LockLost, Redlock, testing::MemoryServer, error::{EnsureError, UsingError}};
//! use std::time::Duration;
//! use tokio::time::sleep;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let servers = [MemoryServer::new(), MemoryServer::new(), MemoryServer::new()];
//! let redlock = Redlock::builder().servers(&servers).build()?;
//! let mut pages = 0;
//! let work = redlock.using("report", Duration::from_secs(10), async |guard| {
//!     while pages < 60 {
//!         sleep(Duration::from_secs(1)).await;
//!         guard.ensure_valid_for(Duration::from_millis(500))?;
//!         pages += 1; // what takes half a second at the most
//!         if pages == 3 {
//!             servers[0].forget("report");
//!             servers[1].forget("report");
//!         }
//!     }
//!     Ok::<_, EnsureError>(())
//! });
//! assert!(matches!(work.await, Err(UsingError::Lost(LockLost::Gone { .. }))));
//! assert_eq!(pages, 3);
//! # Ok(())
//! # }
//! ```
//!
//! If you renew a [`Lock`](crate::Lock) yourself, [`RenewError::Lost`](crate::RenewError::Lost) is the same as a loss.
//! [`Unknown`](crate::RenewError::Unknown) is not: until its `remaining` is over the lock holds, and you can try again.
//!
//! # Do I need fencing?
//!
//! **Yes, if two writers at once would cost you data, and what you write to can compare two numbers.**
//!
//! No lock with a ttl stops a process that is suspended between its last look at the clock and its write. `ensure` makes that
//! window small and cannot close it. A fencing token closes it on the other side: it is a number that is larger than those of
//! all fenced locks before, and the storage refuses a smaller one than it has seen.
//!
//! | two owners at once would | then |
//! |:--|:--|
//! | do some work twice: a cache that is filled, a mail that is sent again | no fencing |
//! | overwrite each other, in a database | [`fenced`](crate::future::AcquireRequest::fenced), and a column: `… WHERE token <= $token` |
//! | overwrite each other, in a store with versions | compare the versions; the lock then only saves work |
//! | call what compares nothing: a device, a foreign service | `ensure` before each call, and a ttl much longer than one |
//!
//! - **All who lock the resource have to ask for tokens.** [`Builder::fenced`](crate::Builder::fenced) does it for a whole
//!   client; a lock without a token, as one of another library, is in nobody's order.
//! - Compare in the same step as you write. A storage that is asked first and written to afterwards has the same window again.
//! - A token is no smaller than the servers' time in microseconds, some 1.8 · 10¹⁵: it fits a signed column of 64 bits.
//!   Renewals keep it, so one owner writes any number of times with one token, and `<=` is right.
//! - It costs two more commands in the same script. Rarely a second attempt follows.
//! - The servers remember a token for 7 days after the last lock or renewal
//!   ([`fence_expiry`](crate::Builder::fence_expiry), at least 2 s). No ttl of a fenced lock may be longer. Servers that
//!   forget everything go on from their clocks: use a [restart guard](crate::Builder::restart_guard), and keep them on NTP.
//!
//! ```
//! use multiredlock::{FencingToken, Redlock, testing::MemoryServer};
//! use std::time::Duration;
//! use tokio::time::sleep;
//!
//! #[derive(Default)]
//! struct Report {
//!     text: &'static str,
//!     token: Option<FencingToken>,
//! }
//!
//! impl Report {
//!     fn write(&mut self, text: &'static str, token: Option<FencingToken>) -> bool {
//!         let accepted = token.is_some() && token >= self.token;
//!         if accepted {
//!             *self = Self { text, token };
//!         }
//!         accepted
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let servers = [MemoryServer::new(), MemoryServer::new(), MemoryServer::new()];
//! let redlock = Redlock::builder().servers(&servers).fenced().build()?;
//! redlock.wait_connected().await?;
//! let mut report = Report::default();
//!
//! let anna = redlock.lock("report", Duration::from_secs(10)).await?;
//! sleep(Duration::from_secs(11)).await; // her process is suspended
//! let berta = redlock.lock("report", Duration::from_secs(10)).await?;
//! assert!(report.write("what berta knows", berta.token()));
//! assert!(!report.write("what anna knew", anna.token()));
//! assert_eq!(report.text, "what berta knows");
//! # Ok(())
//! # }
//! ```
