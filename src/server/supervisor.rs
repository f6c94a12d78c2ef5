//! The task that keeps a server connected: connect, inspect, publish as up, wait for the end, back off, again.

use super::{
    Abandon, Pipeline, RestartGuard, UnderWay,
    abandoned::Running,
    heartbeat::Heartbeat,
    link::{Connected, Feed},
    memory::MemoryServer,
    redis,
};
use crate::{
    address::Endpoint,
    config::{Config, ConnectionConfig, Server},
    decision::{DownReason, Drift},
    fault_injection::InjectedFault,
    monitor::Warning,
    monitor::{Monitor, ServerId},
    random,
};
use rand::{Rng, rngs::SmallRng};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_stream::StreamExt;
use tracing::debug;

/// Makes connections to a server of either kind.
#[derive(Debug)]
pub(crate) enum Connector {
    Redis(Box<redis::Connector>),
    Memory(MemoryServer, Duration),
}

impl Connector {
    /// Fails only on TLS settings that make no sense.
    pub(crate) fn new(server: &Server, config: &Config) -> Result<Self, String> {
        match &server.endpoint {
            Endpoint::Memory(name) => Ok(Self::Memory(
                MemoryServer::named(name),
                config.connection.heartbeat_timeout,
            )),
            _ => redis::Connector::new(server, config).map(Box::new).map(Self::Redis),
        }
    }

    async fn connect(&mut self) -> Result<Connected, DownReason> {
        match self {
            Self::Redis(connector) => connector.connect().await,
            Self::Memory(server, limit) => server.connect(*limit).await,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) server: ServerId,
    pub(crate) connector: Connector,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) monitor: Arc<Monitor>,
    /// What to do if the runtime ends, and the task with it.
    pub(crate) closing: Arc<dyn Abandon>,
    pub(crate) under_way: Arc<UnderWay>,
    pub(crate) config: ConnectionConfig,
    /// How much the server's clock may go wrong.
    pub(crate) drift: Drift,
    pub(crate) restart_guard: Option<RestartGuard>,
    /// Says that the client was closed, by its value or by being dropped.
    pub(crate) closed: watch::Receiver<bool>,
}

impl Supervisor {
    /// Keeps the server connected until the client is closed. A future that is dropped before that closes the client.
    pub(crate) fn run(self) -> impl Future<Output = ()> + Send + 'static {
        // Before the first poll, which may never come.
        let running = Running::new(self.server, &self.pipeline, &self.monitor, &self.closing);
        async move {
            self.supervise().await;
            running.end();
        }
    }

    async fn supervise(mut self) {
        let mut backoff = Backoff::new(&self.config);
        loop {
            let connected = tokio::select! {
                biased;
                () = is_closed(&mut self.closed) => break,
                connected = self.connector.connect() => connected,
            };
            let reason = match connected {
                Ok(connected) => self.hold(connected, &mut backoff).await,
                Err(reason) => reason,
            };
            self.pipeline.detach(&reason);
            if reason == DownReason::Closed {
                break;
            }
            debug!(server = %self.monitor.address(self.server), %reason, "down");
            self.monitor.down(self.server, reason);
            tokio::select! {
                biased;
                () = is_closed(&mut self.closed) => break,
                () = sleep(backoff.next()) => {}
            }
        }
        self.pipeline.detach(&DownReason::Closed);
        self.monitor.down(self.server, DownReason::Closed);
    }

    /// Uses a connection until it ends, and returns why it did. A connection of no use ends at once.
    async fn hold(&mut self, connected: Connected, backoff: &mut Backoff) -> DownReason {
        let Connected {
            link,
            facts,
            mut feed,
            mut ended,
        } = connected;
        if facts.is_loading {
            return DownReason::Loading;
        }
        if facts.is_replica {
            return DownReason::Replica;
        }
        if let Err(of) = self.monitor.identify(self.server, facts.run_id.as_deref()) {
            return DownReason::Duplicate(of);
        }
        let now = Instant::now();
        let ready_at = self.restart_guard.as_mut().map(|guard| guard.ready_at(&facts, now));
        let ready_at = ready_at.filter(|ready_at| *ready_at > now);
        self.pipeline
            .attach(Arc::clone(&link), ready_at, facts.old_connection_lives);
        debug!(server = %self.monitor.address(self.server), version = facts.version, ?ready_at, "connected");
        match ready_at {
            None => self.monitor.up(self.server),
            Some(ready_at) => {
                let ready_in = ready_at.duration_since(now);
                self.monitor.down(self.server, DownReason::Restarted { ready_in });
            }
        }
        if facts.is_hidden {
            self.monitor.warn(self.server, Warning::InfoDenied);
        }
        if let Some(warning) = self.restart_guard.as_ref().and_then(|guard| guard.warning(&facts)) {
            self.monitor.warn(self.server, warning);
        }
        if let Some(policy) = facts.eviction {
            self.monitor.warn(self.server, Warning::Eviction { policy });
        }
        if facts.tells_nothing {
            self.monitor.warn(self.server, Warning::TrackingDenied);
        }
        if facts.old_connection_lives {
            self.monitor.warn(self.server, Warning::OldConnectionLives);
        }

        let heartbeat = Heartbeat {
            server: self.server,
            pipeline: &self.pipeline,
            link: &*link,
            monitor: &self.monitor,
            config: &self.config,
            drift: self.drift,
        };
        let reason = tokio::select! {
            biased;
            () = is_closed(&mut self.closed) => {
                // Attempts under way end now, and what was submitted still goes out: unlocks, also those of these attempts.
                let last_words = async {
                    self.pipeline.end_rounds();
                    self.under_way.are_over().await;
                    self.pipeline.idle().await;
                };
                let _ = timeout(self.config.heartbeat_timeout, last_words).await;
                DownReason::Closed
            }
            reason = heartbeat.watch(&mut ended) => reason,
            reason = open_votes(self.server, ready_at, &self.pipeline, &self.monitor) => reason,
            reason = pass_on(&mut feed, &self.pipeline) => reason,
        };
        // What is unanswered is told as lost by the end, when nothing can be sent behind it any more.
        self.pipeline.detach(&reason);
        link.end();
        ended.wait().await;
        // Who breaks the protocol each time it is trusted is asked less and less often.
        if !matches!(reason, DownReason::NotRedis(_) | DownReason::Excessive(_)) {
            backoff.reset();
        }
        reason
    }
}

/// Lets the server vote on locks once it is ready, and then waits for ever.
async fn open_votes(server: ServerId, ready_at: Option<Instant>, pipeline: &Pipeline, monitor: &Monitor) -> DownReason {
    if let Some(ready_at) = ready_at {
        sleep_until(ready_at).await;
        pipeline.open_votes();
        monitor.up(server);
    }
    std::future::pending().await
}

/// Passes on what the server tells. That ends no sooner than the connection.
async fn pass_on(feed: &mut Feed, pipeline: &Pipeline) -> DownReason {
    while let Some(change) = feed.next().await {
        pipeline.note(&change);
    }
    std::future::pending().await
}

/// Resolves once the client was closed or dropped.
async fn is_closed(closed: &mut watch::Receiver<bool>) {
    if InjectedFault::CloseUnheard.is_on() {
        std::future::pending::<()>().await;
    }
    // An error means that the sender is gone, and with it the client.
    let _ = closed.wait_for(|closed| *closed).await;
}

/// Waits that double from the shortest to the longest, each shortened at random by up to a half.
#[derive(Debug)]
struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
    rng: SmallRng,
}

impl Backoff {
    fn new(config: &ConnectionConfig) -> Self {
        Self {
            min: config.reconnect_min,
            max: config.reconnect_max,
            next: config.reconnect_min,
            rng: random::for_waits(),
        }
    }

    fn reset(&mut self) {
        self.next = self.min;
    }

    fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = wait.saturating_mul(2).min(self.max);
        self.rng.gen_range(wait / 2..=wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_double_up_to_the_longest_and_start_over() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff {
            min: ms(50),
            max: ms(150),
            next: ms(50),
            rng: random::for_waits(),
        };
        for bound in [50, 100, 150, 150] {
            let wait = backoff.next();
            assert!(wait >= ms(bound) / 2 && wait <= ms(bound), "{wait:?} of {bound} ms");
        }
        backoff.reset();
        assert!(backoff.next() <= ms(50));
    }
}
