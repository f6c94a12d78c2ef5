//! What the library tells of itself, and which of it matters.
//!
//! # How do I see what is going on?
//!
//! | question | answer |
//! |:--|:--|
//! | Why did this call fail? | The error in words. It counts the votes and gives each server's reason. |
//! | Can anything be locked? | [`is_connected`] and [`quorums`] now, [`connected`] and [`disconnected`] as it changes. |
//! | Which server is down, and why? | [`servers`] now, [`events`] as it happens. |
//! | Who holds it? | [`owner`](crate::Redlock::owner), and `.survey()` for each server's own answer. |
//! | How often, how long? | The feature `metrics`, by the recorder that the program installs. Its module lists the names. |
//! | What happened in a call? | `tracing`: the spans `lock`, `acquire` and `renew`, and the events within. |
//!
//! [`is_connected`]: crate::Redlock::is_connected
//! [`quorums`]: crate::Redlock::quorums
//! [`connected`]: crate::Redlock::connected
//! [`disconnected`]: crate::Redlock::disconnected
//! [`servers`]: crate::Redlock::servers
//! [`events`]: crate::Redlock::events
//!
//! For a page that says whether the program is healthy, look at `servers()`: it asks nobody. Being connected is enough to be
//! healthy; a server that is down is a reason to repair it, not to take the program out of service.
//!
//! The library prints nothing. With `tracing-subscriber`, `RUST_LOG=multiredlock=debug` shows its spans and events. No
//! password and no value of a lock is among them. At `warn` stands what nobody may miss: the [warnings](crate::event::Warning), and a server
//! that stays down until a setting changes, such as a wrong password, a certificate that is not accepted, or a host without an address.
//! It is logged once, until the server is up or has another reason.
//!
//! The client `fred` below this library logs through the crate `log`, under the target `fred`. At `trace` it prints each error of a
//! server as it is, and a server may repeat the password in one; at `warn` it does so if a node that joins a cluster refuses the
//! password. If your logs are not as secret as the password, turn that target off: `RUST_LOG=multiredlock=debug,fred=off`.
//!
//! ```
//! use multiredlock::{Redlock, testing::MemoryServer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let servers = [MemoryServer::new(), MemoryServer::new(), MemoryServer::new()];
//! let redlock = Redlock::builder().servers(&servers).build()?;
//! redlock.wait_connected().await?;
//! let mut disconnected = redlock.disconnected();
//!
//! servers[1].crash();
//! servers[2].crash();
//! let quorum = disconnected.recv().await.ok_or("the client was closed")?;
//! assert_eq!((quorum.reachable, quorum.needed), (1, 2));
//! for server in redlock.servers() {
//!     println!("{server}"); // such as "memory://b is down: connection lost"
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Who holds it?
//!
//! The value of a key is `{id}_{unix_ms}_{random}`: who locked it, since when by its own clock, and what nobody can guess. Give
//! your processes an [`id`](crate::Builder::id) if the hostname does not tell them apart. A value of another form, as most
//! other libraries make it, has no known owner.
//!
//! By hand it is `GET console` and `PTTL console` on each server, with the [key prefix](crate::Builder::key_prefix) in front.
//! `DEL console` on a majority at once takes the lock away from its owner. A guard is told; the owner of a plain lock finds out when
//! it renews or unlocks. On one server after another it has no effect on a guard, which puts the key back where a minority lost it.
//!
//! ```
//! use multiredlock::{Redlock, testing::MemoryServer, status::Ownership};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let servers = [MemoryServer::new(), MemoryServer::new(), MemoryServer::new()];
//! let redlock = Redlock::builder().servers(&servers).id("web-3").build()?;
//! redlock.wait_connected().await?;
//! let _lock = redlock.lock("console", Duration::from_secs(10)).await?;
//!
//! let Ownership::Held(holder) = redlock.owner("console").await? else { panic!("nobody holds it") };
//! assert_eq!(holder.owner.ok_or("of another library")?.id, "web-3");
//! # Ok(())
//! # }
//! ```
//!
//! # What should wake somebody up?
//!
//! | sign | what it means |
//! |:--|:--|
//! | [`Event`](crate::event::Event)`::Disconnected`, `GroupDisconnected` | nothing of that group can be locked or renewed: at once |
//! | a server down for minutes; `multiredlock_servers_up` | one more failure may be too many: repair it today |
//! | [`Warning`](crate::event::Warning)`::Eviction`, `ClockAhead` | locks may end before their validity does: correct the server |
//! | `Hidden`, `OldConnectionLives`, `TellsNothing`, `ClockHidden` | the ACL denies a command, or the server lacks it: permit it when you can |
//! | `multiredlock_losses_total` with `gone` | keys are removed under their owners: a FLUSHALL, a restart without data, a hand |
//! | the same with `expired` | processes or networks that pause for longer than the ttl bears |
//! | `multiredlock_wait_seconds` grows | a resource is wanted more than there is time: hold it for less, or divide it |
