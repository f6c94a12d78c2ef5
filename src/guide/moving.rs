//! What other libraries' calls and settings are called here.
//!
//! All of these store a plain string with a ttl under the name of the resource, unless something is there. So they and this
//! library exclude each other on the same servers, and you can move one process after the other. For that
//!
//! - list the same servers in both, all of them, and use the same database;
//! - use the same keys: a [`key_prefix`](crate::Builder::key_prefix) if the other has one;
//! - have one group of servers: each library divides resources between groups in its own way, so that with several of them
//!   one does not see the locks of the other;
//! - do without fencing until all have moved: a lock of another library has no token.
//!
//! Most of them take a hundredth of the ttl and 2 ms for the drift, which is [`Drift::factor(0.01)`](crate::Drift::factor). The
//! default here is 100 ms, as in node `multiredlock`. And some call the number of all attempts their retries: those of
//! [`Retry`](crate::Retry) come after the first attempt.
//!
//! # Node `multiredlock`
//!
//! | node `multiredlock` | here |
//! |:--|:--|
//! | `new Redlock([{host, port, auth}])` | `.servers([Server::new(host).port(port).password(auth)])`, or as addresses |
//! | `new Redlock()`: `localhost:6379` | `Redlock::new()` |
//! | it connects by itself | so does `build()`; `wait_connected().await` |
//! | `connected` | `is_connected()` |
//! | the events `connect` and `disconnect` | the streams `connected()` and `disconnected()` |
//! | `id`, `drift`, `debug` | `.id(…)`, `.drift(Drift::fixed(…))`, `tracing` |
//! | `setRetry(retries, retryWait)` | `set_retry(Retry::new(retries, retry_wait))`, `.retry(…)` |
//! | `lock(resource, ttl)` | the same |
//! | `renew(resource, value, ttl)` | `renew(&lock, ttl)` |
//! | `unlock(resource, value)` | `unlock(&lock)`, of another's lock `unlock(&Lock::from_parts(resource, value))` |
//! | `close()` | `close().await` |
//!
//! Values, keys, defaults and events are the same. `DESIGN.md` lists what differs on purpose, and why.
//!
//! # Node `redlock`
//!
//! As of version 5.
//!
//! | `redlock` | here |
//! |:--|:--|
//! | `new Redlock([client, …], settings)` | `Redlock::builder().servers([…])`, by addresses |
//! | `acquire([a, b], ttl)` | `lock([a, b], ttl)`; `acquire` here waits in line and renews |
//! | `lock.extend(ttl)` | `renew(&lock, ttl)` |
//! | `lock.release()` | `unlock(&lock)` |
//! | `using([a, b], ttl, async signal => …)` | `using([a, b], ttl, async \|guard\| …)`, which drops the work at a loss |
//! | `automaticExtensionThreshold` | none: renewals are at a third of the validity |
//! | `retryCount`, `retryDelay`, `retryJitter` | `.retry(Retry::new(count, delay + jitter))`, which waits up to that |
//! | `driftFactor` | `.drift(Drift::factor(…))` |
//! | `lock.expiration` | `lock.validity()`, which no wall clock moves |
//! | `on("error", …)` | `events()`, and the votes in each error |
//! | `quit()` | `close().await` |
//!
//! # rslock
//!
//! As of version 0.10.
//!
//! | rslock | here |
//! |:--|:--|
//! | `LockManager::new(uris)` | `Redlock::builder().servers(uris).build()?` |
//! | `LockManager::new_cluster(uris)` | one server, `redis-cluster://…?node=…` |
//! | `set_retry(count, delay)`, 3 and 200 ms | `.retry(Retry::new(count - 1, delay))`: its count is that of all attempts |
//! | `lock`, `unlock`, `extend` | `lock`, `unlock`, `renew` |
//! | no calls for threads | the feature `blocking`: `multiredlock::blocking::Redlock` |
//! | `lock.validity_time`, in ms as of the grant | `lock.validity()`, as of now |
//! | `acquire`, which tries again and again | `acquire`, which waits in line; dropping the guard unlocks |
//! | `acquire_no_guard` | `acquire(…).await?.into_lock()` |
//! | `using(resource, ttl, async \|\| …)` | `using(resource, ttl, async \|guard\| …)`, which tries to renew while it is valid |
//! | `query_redis_for_key_value`, `is_freed` | `owner(resource)`, by a majority |
//!
//! # redlock-py
//!
//! | redlock-py | here |
//! |:--|:--|
//! | `Redlock([{"host": …, "port": …, "db": …}])` | `.servers([Server::new(host).port(port).database(db)])`, or as addresses |
//! | `retry_count=3`, `retry_delay=0.2` | `.retry(Retry::new(2, ms(200)))`: its count is that of all attempts |
//! | `lock(resource, ttl)`, `False` if there is none | `lock(resource, ttl).await`, an error that says why |
//! | `lock.validity`, `lock.resource`, `lock.key` | `lock.validity()`, `lock.resource()`, `lock.value()` |
//! | `unlock(lock)` | `unlock(&lock)` |
//!
//! # pottery
//!
//! Its keys are `redlock:` and the name: `.key_prefix("redlock:")`.
//!
//! | `pottery.Redlock` | here |
//! |:--|:--|
//! | `masters={…}` | `.servers([…])` |
//! | `Redlock(key=name, auto_release_time=10)`, in seconds | the resource and the ttl of each call |
//! | `acquire()`, `acquire(timeout=15)` | `acquire(name, ttl)`, `.timeout(Duration::from_secs(15))` |
//! | `acquire(blocking=False)` | `try_acquire(name, ttl)` |
//! | `with …:` and `@synchronize` | `using(name, ttl, async \|guard\| …)` |
//! | `extend()`, `num_extensions` | the guard renews; `.max_hold(…)` bounds it |
//! | `locked()` | `guard.validity()`, which asks nobody |
//! | `release()` | `guard.release().await` |
//!
//! # redlock-clj
//!
//! | redlock-clj | here |
//! |:--|:--|
//! | `lock!` | `lock(resource, ttl).await` |
//! | `:retry-count`, `:retry-delay` | `.retry(Retry::new(count - 1, longest))`: its count is that of all attempts |
//! | `:clock-drift-factor` | `.drift(Drift::factor(0.01))` |
//! | `unlock!` | `unlock(&lock)` |
//!
//! # Elixir redlock
//!
//! | Elixir redlock | here |
//! |:--|:--|
//! | `lock`, `unlock`, `extend`, with the ttl in seconds | `lock`, `unlock`, `renew` |
//! | `transaction` | `using(resource, ttl, async \|guard\| …)`, which also renews and stops when the lock is lost |
//! | `drift_factor` | `.drift(Drift::factor(…))` |
//! | `max_retry`, `retry_interval_base`, `retry_interval_max` | `.retry(Retry::exponential(max_retry, base, max))` |
//! | `reconnection_interval_base`, `reconnection_interval_max` | `.reconnect(base, max)` |
//! | cluster mode (groups of servers by consistent hashing) | `.group([…])` for each; not beside each other, see above |
//!
//! # redlock-go
//!
//! As of version 3.
//!
//! | redlock-go | here |
//! |:--|:--|
//! | `Lock`, `UnLock` by name | `lock`, and `unlock(&redlock.held(name)…)` |
//! | the cache of locks, a map or bounded | `.remember(capacity)`, always bounded |
//! | `SetRetryCount`, `SetRetryDelay` | `.retry(Retry::new(count - 1, longest))`, `set_retry`: its count is that of all attempts |
//! | `tcp://host:port` | `redis://host:port` |
//!
//! # Single-instance Go redlock
//!
//! | single-instance Go redlock | here |
//! |:--|:--|
//! | `Lock`, `Renew`, `Unlock` | `try_lock`, `renew`, `unlock` |
//! | `WaitLock` | `acquire`, and `.into_lock()` if it is not to renew itself |
//! | `KeyPrefix` | `.key_prefix(…)` |
//! | `Database` | `redis://host/3` or `Server::database` |
//! | `ConnectTimeout` | `.heartbeat_timeout(…)`, which bounds connecting too |
