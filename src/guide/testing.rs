//! Tests on servers within the process.
//!
//! # How do I test my code without Redis?
//!
//! **Hand your code a [`Redlock`](crate::Redlock), and in tests build it on three
//! [`MemoryServer`](crate::testing::MemoryServer)s.**
//!
//! They grant, renew and remove keys as Redis does, also for waiters, guards, fenced locks and several resources at once, and
//! the library above them is the same. Where your code reads addresses from a configuration, `memory://a` is one.
//!
//! - `MemoryServer::new()` has a name of its own, so tests that run at the same time do not meet. `memory://a` is the same server
//!   for all of the process.
//! - Its clock is tokio's. With `#[tokio::test(start_paused = true)]` (tokio's feature `test-util`) a test that waits for a
//!   minute takes no time. Do so with servers within the process only: with a real socket a paused clock jumps to the next
//!   timer before the answer is there.
//! - A process is a client: build a second one on the same servers, with another [`id`](crate::Builder::id), to have a rival. A
//!   clone of the first would stand in the same line.
//! - Call [`wait_connected`](crate::Redlock::wait_connected) before the first `lock`. `acquire` waits for servers by itself.
//!   Either goes on when a majority is up, and the last server may then know nothing of the lock: sleep for a second if that
//!   matters.
//! - Look at what is left on the servers: [`is_empty`](crate::testing::MemoryServer::is_empty), once the client is
//!   [closed](crate::Redlock::close).
//!
//! ```
//! use multiredlock::{LockError, Redlock, testing::MemoryServer};
//! use std::time::Duration;
//!
//! /// The code under test: a job that each process starts and one does.
//! async fn bill(redlock: &Redlock, bills: &mut Vec<&str>) -> Result<bool, LockError> {
//!     match redlock.try_acquire("bill", Duration::from_secs(10)).await {
//!         Ok(_guard) => bills.push("march"),
//!         Err(LockError::Held { .. }) => return Ok(false),
//!         Err(error) => return Err(error),
//!     }
//!     Ok(true)
//! }
//!
//! // #[tokio::test(start_paused = true)]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let servers = [MemoryServer::new(), MemoryServer::new(), MemoryServer::new()];
//!     let [ours, rival] = [(); 2].map(|()| Redlock::builder().servers(&servers).build().unwrap());
//!     ours.wait_connected().await?;
//!     rival.wait_connected().await?;
//!     let mut bills = Vec::new();
//!
//!     let lock = rival.lock("bill", Duration::from_secs(10)).await?;
//!     assert!(!bill(&ours, &mut bills).await?);
//!     rival.unlock(&lock).counts().await;
//!     assert!(bill(&ours, &mut bills).await?);
//!     assert_eq!(bills, ["march"]);
//!
//!     ours.close().await;
//!     assert!(servers.iter().all(MemoryServer::is_empty));
//!     Ok(())
//! }
//! ```
//!
//! # How do I test that it goes wrong?
//!
//! | to see your code | do, on two of three servers | it sees |
//! |:--|:--|:--|
//! | without a majority | [`crash`]; `restart` ends it | `LockError::NoQuorum`, `disconnected()` |
//! | lose a lock that is taken away | [`forget(key)`][`forget`] | `LockLost::Gone` |
//! | lose a lock by an outage | [`freeze`]; `thaw` ends it | `LockLost::Expired`, when the validity is over |
//! | on a slow network | [`delay`] | longer attempts; beyond the attempt timeout `NoQuorum` |
//! | after a restart without data | [`restart_empty`] | `LockLost::Gone`; `Restarted` with a restart guard |
//! | with a clock that was set | [`set_clock_ahead`] | `Warning::ClockAhead` |
//!
//! [`crash`]: crate::testing::MemoryServer::crash
//! [`forget`]: crate::testing::MemoryServer::forget
//! [`freeze`]: crate::testing::MemoryServer::freeze
//! [`delay`]: crate::testing::MemoryServer::delay
//! [`restart_empty`]: crate::testing::MemoryServer::restart_empty
//! [`set_clock_ahead`]: crate::testing::MemoryServer::set_clock_ahead
//!
//! On one of three servers each of these keeps no caller from its lock: that is a test worth having, too.
//!
//! ```
//! use multiredlock::{LockError, LockLost, Redlock, testing::MemoryServer};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let servers = [MemoryServer::new(), MemoryServer::new(), MemoryServer::new()];
//! let redlock = Redlock::builder().servers(&servers).build()?;
//! let guard = redlock.acquire("report", Duration::from_secs(10)).await?;
//!
//! // An outage for longer than the guard can bear. By the paused clock it takes 10 s.
//! servers[0].freeze();
//! servers[1].freeze();
//! assert!(matches!(guard.lost().await, LockLost::Expired { .. }));
//!
//! let error = redlock.try_lock("report", Duration::from_secs(10)).await.unwrap_err();
//! assert!(matches!(error, LockError::NoQuorum { reachable: 1, .. }), "{error}");
//! # Ok(())
//! # }
//! ```
//!
//! What they are not: a network, an ACL, a disk. Run the program against real servers once as well.
//!
//! # Why is my client closed in the second test?
//!
//! **Each `#[tokio::test]` has a runtime of its own, and a client lives no longer than the runtime in which it was built.** If a
//! `static` keeps the client, the first test that ends takes its connections along. From then on every call gets
//! [`Closed`](crate::LockError::Closed), and so does whoever waits for a lock.
//!
//! Build a client in each test, which is cheap on servers within the process. Or give the client a runtime that outlives all tests:
//!
//! ```
//! use multiredlock::Redlock;
//! use std::{sync::LazyLock, time::Duration};
//! use tokio::runtime::Runtime;
//!
//! static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
//! static REDLOCK: LazyLock<Redlock> = LazyLock::new(|| {
//!     // Within this runtime, not in that of the test.
//!     let _entered = RUNTIME.enter();
//!     Redlock::builder().servers(["memory://a", "memory://b", "memory://c"]).build().unwrap()
//! });
//!
//! // #[tokio::test], more than once
//! # fn main() {
//! #   for _ in 0..2 {
//! #       tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
//! #   }
//! # }
//! async fn test() {
//!     let guard = REDLOCK.acquire("console", Duration::from_secs(10)).await.unwrap();
//!     guard.release().await.unwrap();
//! }
//! ```
