//! Answers to what users ask: a rule of thumb, its reason, and the numbers behind it.
//!
//! [Locking](locking)
//!
//! - [Which ttl should I choose?](locking#which-ttl-should-i-choose)
//! - [Which drift?](locking#which-drift)
//! - [`lock` or `acquire`?](locking#lock-or-acquire)
//! - [And without `async`?](locking#and-without-async)
//! - [What does it cost while I wait?](locking#what-does-it-cost-while-i-wait)
//! - [What do I do about an error?](locking#what-do-i-do-about-an-error)
//!
//! [Losing a lock](losing)
//!
//! - [What do I do when a lock is lost?](losing#what-do-i-do-when-a-lock-is-lost)
//! - [Do I need fencing?](losing#do-i-need-fencing)
//!
//! [Servers](servers)
//!
//! - [How many servers?](servers#how-many-servers)
//! - [What if a server restarts?](servers#what-if-a-server-restarts)
//! - [What about a Redis Cluster or Sentinel?](servers#what-about-a-redis-cluster-or-sentinel)
//! - [How do I add or exchange a server?](servers#how-do-i-add-or-exchange-a-server)
//!
//! [Watching](watching)
//!
//! - [How do I see what is going on?](watching#how-do-i-see-what-is-going-on)
//! - [Who holds it?](watching#who-holds-it)
//! - [What should wake somebody up?](watching#what-should-wake-somebody-up)
//!
//! [Testing](testing)
//!
//! - [How do I test my code without Redis?](testing#how-do-i-test-my-code-without-redis)
//! - [How do I test that it goes wrong?](testing#how-do-i-test-that-it-goes-wrong)
//! - [Why is my client closed in the second test?](testing#why-is-my-client-closed-in-the-second-test)
//!
//! [Moving from another library](moving)
//!
//! The examples are compiled and run with the tests, on servers within the process. Where time passes in them the clock is
//! tokio's, paused. What is promised under which assumptions stands in `SAFETY.md`, and in `DESIGN.md` why the library is as
//! it is.

pub mod locking;
pub mod losing;
pub mod moving;
pub mod servers;
pub mod testing;
pub mod watching;
