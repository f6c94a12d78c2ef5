//! How many servers, which kinds, what a restart does, and how they are exchanged.
//!
//! # How many servers?
//!
//! **Three. Five, if one that is being restarted and one that fails have to be borne at once.**
//!
//! | servers | needed | may be away |
//! |--:|--:|--:|
//! | 1 | 1 | 0 |
//! | 2 | 2 | 0 |
//! | 3 | 2 | 1 |
//! | 4 | 3 | 1 |
//! | 5 | 3 | 2 |
//! | 7 | 4 | 3 |
//!
//! An even number bears no more servers away than the odd one below it: two are out of service twice as often as one. What it
//! bears is a server that [forgets](#what-if-a-server-restarts), since two majorities of four have two servers in common; a
//! restart guard sees to that with any number.
//!
//! - They must not fail together: a machine, a power supply and a time for maintenance each. Of three zones take one server
//!   each; a lock then takes the way to the second nearest.
//! - They are masters that know nothing of each other. A replica does not vote, and neither does a second address of a server
//!   that votes already.
//! - They need little: a key of some hundred bytes for each lock that is held, and `maxmemory-policy noeviction`. Best is a
//!   server for locks alone, so that nobody else fills or flushes it.
//! - More servers make it slower, not faster. On two cores shared with the servers a lone lock took 80 µs with three and 98 µs
//!   with five, and 512 callers locked and unlocked 93,000 or 62,000 times a second. Who needs more divides the resources
//!   between [groups](crate::Builder::group), each of three or five.
//!
//! With a single server everything here works, and whatever takes that server away takes the locks away.
//!
//! # What if a server restarts?
//!
//! **Set [`restart_guard`](crate::Builder::restart_guard) to the longest ttl that any process uses, and restart one server at a
//! time.**
//!
//! By itself this happens: the server is down, and the others decide. It is connected to again after 50 ms at first, and
//! after at most 5 s later on. What it missed follows: unlocks whose keys have not expired, and an unlock for each SET whose
//! answer was lost and that belongs to no lock. The next renewal puts keys back that it forgot. None of that needs you.
//!
//! What needs you is what it forgot. If a lock was granted by just two of three servers, and one of them forgets it, that one and
//! the third can grant it again. Against it there are two remedies:
//!
//! | | after a restart | price |
//! |:--|:--|:--|
//! | neither | may grant a second time what it forgot | none |
//! | `appendfsync always` on the servers | has forgotten nothing | a write to the disk before each answer |
//! | `restart_guard(max_ttl)` in all processes | votes on no new lock until up for `max_ttl` | it is down for that long |
//!
//! `appendfsync everysec` is not among them: a second is enough to lose a lock.
//!
//! With the guard:
//!
//! - Ttls longer than `max_ttl` are [refused](crate::error::InvalidTtl::OutlivesRestartGuard). With 10 s no ttl is longer than 10 s,
//!   and a server votes again 10 s after it was started.
//! - [`servers`](crate::Redlock::servers) says how much longer it takes. Restart the next server when it says `Up`. If all of
//!   them restart together nobody is granted a new lock for `max_ttl`.
//! - What the server holds is renewed and unlocked there meanwhile.
//! - New servers wait as well: the first [`wait_connected`](crate::Redlock::wait_connected) after they were installed takes up to
//!   `max_ttl`.
//! - It reads the uptime and `run_id` by INFO. A user without that permission makes each connection wait.
//!
//! ```
//! use multiredlock::{LockError, Redlock, testing::MemoryServer, error::{InvalidRequest, InvalidTtl}, status::{DownReason, ServerState}};
//! use std::time::Duration;
//! use tokio::time::sleep;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let servers = [MemoryServer::new(), MemoryServer::new(), MemoryServer::new()];
//! let redlock = Redlock::builder().servers(&servers).restart_guard(Duration::from_secs(10)).build()?;
//! redlock.wait_connected().await; // 10 s, as they are new
//! sleep(Duration::from_secs(1)).await;
//!
//! servers[0].restart_empty();
//! sleep(Duration::from_secs(1)).await;
//! let state = || redlock.servers()[0].state.clone();
//! assert!(matches!(state(), ServerState::Down(DownReason::Restarted { .. })));
//! let lock = redlock.lock("report", Duration::from_secs(10)).await?; // by the others
//! assert!(servers[0].is_empty());
//!
//! sleep(Duration::from_secs(10)).await;
//! assert_eq!(state(), ServerState::Up);
//!
//! let error = redlock.lock("report", Duration::from_secs(11)).await.unwrap_err();
//! assert!(matches!(error, LockError::Invalid(InvalidRequest::Ttl(InvalidTtl::OutlivesRestartGuard { .. }))));
//! # Ok(())
//! # }
//! ```
//!
//! # What about a Redis Cluster or Sentinel?
//!
//! **Each counts as one server. Take three of them, or better three plain masters.**
//!
//! A cluster, or a master with its replicas, answers before its replicas have what it was told. A failover then promotes one
//! that may know nothing of a lock: it is a restart without data. So it brings a server back sooner and makes it no safer.
//! `redis-cluster://…` or `redis-sentinel://…` stands where one server's address would.
//!
//! - To a cluster each operation goes as a command of its own. On plain servers a client that does so made 28,000 cycles a
//!   second with 512 callers, where this one made 93,000.
//! - Resources that are locked together have to be in one hash slot of it: `{order:7}.items` and `{order:7}.bill` are.
//! - A cluster is down as a whole while one of its nodes is away and not replaced.
//! - The restart guard covers a failover: a server with another `run_id` or another replication history waits, and for a
//!   process that starts later so does every master that has been a replica since it was started. The old master must have
//!   stopped, for instance by `min-replicas-to-write`: the guard cannot see one that goes on for clients which still reach it.
//!
//! If one managed cluster is all there is, it works as a single server does. Each failover may then let two hold one
//! resource: where that costs data, take [fencing tokens](super::losing#do-i-need-fencing).
//!
//! # How do I add or exchange a server?
//!
//! **One at a time: add the new one everywhere, then remove the old one everywhere.**
//!
//! Two processes exclude each other if each majority of the one's list shares a server with each majority of the other's. Where
//! one server was added that is so: of four servers three are needed, of which at least two are among the old three, where two
//! are needed as well. Lists of three and of five servers do not exclude each other. Neither do two lists of three of which one
//! server was replaced: two of the one and two of the other need not have a server in common.
//!
//! 1. Start all processes with the list and the new server, in any order. Three become four: three are needed now, so one may be
//!    away as before.
//! 2. Wait until none runs with the old list, and then for the longest ttl, so that no lock of theirs is left.
//! 3. Start all with the list without the old server, or with a fifth.
//!
//! Tokens of fenced locks stay in order over one such step. Over several, a resource that nobody locked in between goes on from
//! the servers' clocks.
//!
//! A server with the same address and none of its data, on a new machine for instance, needs no other list: with a restart
//! guard it is a restart, if the new one is started after the old one was stopped.
//!
//! Which [group](crate::Builder::group) a resource belongs to depends on the number of groups only, so this moves none.
//!
//! ```
//! use multiredlock::{Redlock, testing::MemoryServer};
//! use std::time::Duration;
//! use tokio::time::sleep;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let servers = [MemoryServer::new(), MemoryServer::new(), MemoryServer::new(), MemoryServer::new()];
//! let old = Redlock::builder().servers(&servers[..3]).build()?;
//! let new = Redlock::builder().servers(&servers).build()?;
//! sleep(Duration::from_secs(1)).await; // all of them are up
//!
//! // Even if it was granted by the smallest majority.
//! let _lock = old.lock("report", Duration::from_secs(10)).await?;
//! servers[2].forget("report");
//! assert!(new.lock("report", Duration::from_secs(10)).await.is_err());
//! # Ok(())
//! # }
//! ```
