//! Waiting for a lock: for the turn among the processes of this machine first, and then for the servers.

mod says;

use crate::{
    connect, duration,
    exit::{self, Failure},
    facts::short,
    output::Output,
    queue::{LocalQueue, Notice, Turn},
    settings::Settings,
    signals::{Signals, interruptions},
};
use clap::Args;
use multiredlock::{Guard, LockError, Redlock, future::AcquireRequest};
use says::Says;
use std::{
    future::{Future, pending},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How long it takes at the most until it is said what is waited for.
const SETTLED: Duration = Duration::from_millis(500);

/// How long to wait for somebody else's lock, and how to end if that was not long enough.
#[derive(Args, Debug)]
pub(crate) struct Wait {
    /// Waits no longer than this, for whoever holds it or for a majority [default: the file's `acquire_timeout`, or else as long as it takes]
    #[arg(long = "wait", value_parser = duration::parse, value_name = "DURATION", conflicts_with = "none")]
    longest: Option<Duration>,
    /// Does not wait if somebody else holds it
    #[arg(long = "no-wait")]
    none: bool,
    /// The exit code if somebody else holds it
    #[arg(long, value_name = "CODE", default_value_t = exit::HELD)]
    conflict_exit_code: u8,
}

/// What is to be locked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) resource: &'a str,
    pub(crate) ttl: Duration,
    pub(crate) fenced: bool,
}

/// A process that waits for a lock.
pub(crate) struct Waiting<'a> {
    wait: &'a Wait,
    /// The limit of the argument, or else of the file.
    longest: Option<Duration>,
    wanted: Wanted<'a>,
    settings: &'a Settings,
    /// From the beginning to the end, so that none is lost in between.
    interruptions: Signals,
    says: Says<'a>,
    queue: LocalQueue,
    turn: Turn,
    /// How much of the limit is used up.
    waited: Duration,
}

impl Wait {
    /// Waits until this process may ask the servers.
    pub(crate) async fn turn<'a>(
        &'a self,
        wanted: Wanted<'a>,
        settings: &'a Settings,
        output: &'a Output,
    ) -> Result<Waiting<'a>, Failure> {
        let mut waiting = Waiting {
            wait: self,
            longest: self.longest.or(settings.acquire_timeout),
            wanted,
            settings,
            interruptions: interruptions()?,
            says: Says::new(wanted.resource, output),
            queue: LocalQueue::new(settings, wanted.resource),
            turn: Turn::unqueued(),
            waited: Duration::ZERO,
        };
        waiting.turn().await?;
        Ok(waiting)
    }

    fn does_not(&self) -> bool {
        self.none || self.longest == Some(Duration::ZERO)
    }

    /// The same failure, with the exit code that is wanted for this one.
    fn conflict(&self, failure: Failure) -> Failure {
        let code = match failure.code {
            exit::HELD => self.conflict_exit_code,
            code => code,
        };
        Failure { code, ..failure }
    }
}

impl Waiting<'_> {
    /// Waits until this process may ask the servers. Whatever is wrong with the queue, that comes.
    async fn turn(&mut self) -> Result<(), Failure> {
        if self.wait.does_not() {
            return Ok(());
        }
        if let Some(turn) = self.queue.try_turn() {
            self.turn = turn;
            return Ok(());
        }
        self.check()?;
        self.queue().await
    }

    /// Takes the lock, and says who holds it until then. An interruption leaves nothing locked.
    ///
    /// Other processes of this machine wait until the turn that it returns is dropped.
    pub(crate) async fn acquire(mut self, redlock: &Redlock) -> Result<(Guard, Turn), Failure> {
        loop {
            if let Some(guard) = self.ask(redlock).await? {
                self.turn.show(&Notice::ours(&guard));
                return Ok((guard, self.turn));
            }
            // What is wrong may be wrong with this process alone. It keeps its connections, and queues behind the others.
            self.turn = Turn::unqueued();
            self.queue().await?;
        }
    }

    /// Refuses what no server has to be asked for: nobody is to wait for that.
    fn check(&self) -> Result<(), Failure> {
        let redlock = self.settings.redlock()?;
        let request = pin!(self.once(&redlock));
        // Nothing is connected before the runtime goes on, so that all else is refused as well.
        let refused = match request.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(error)) => Some(Failure::from(error)),
            _ => None,
        };
        let is_usage = |failure: &Failure| failure.code == exit::USAGE;
        refused.filter(is_usage).map_or(Ok(()), Err)
    }

    async fn queue(&mut self) -> Result<(), Failure> {
        let Self {
            queue,
            says,
            interruptions,
            ..
        } = self;
        let left = self.longest.map(|longest| longest.saturating_sub(self.waited));
        let begin = Instant::now();
        let turn = tokio::select! {
            biased;
            failure = interruptions.interrupted() => return Err(failure),
            turn = queue.turn() => Some(turn),
            () = limit(left) => None,
            () = says.follow(queue) => unreachable!("it is said for as long as it takes"),
        };
        self.waited += begin.elapsed();
        if let Some(turn) = turn {
            self.turn = turn;
            return Ok(());
        }
        // A thousand processes whose time is up at once need not ask all the same question.
        let last = self.queue.notice().filter(|notice| notice.holder.is_some());
        match last.as_ref().or(self.says.last()) {
            Some(notice) if notice.holder.is_some() && self.queue.is_alive() => {
                let resource = short(self.wanted.resource);
                let longest = self.longest.unwrap_or_default();
                let problem = format!("could not lock `{resource}` within {longest:?}: {}", notice.words());
                Err(self.wait.conflict(Failure::new(exit::HELD, problem)))
            }
            // The servers are asked once.
            _ => Ok(()),
        }
    }

    /// Asks the servers. None if nobody holds the resource, and nobody grants it, for so long that others may have more luck.
    async fn ask(&mut self, redlock: &Redlock) -> Result<Option<Guard>, Failure> {
        let Wanted { resource, .. } = self.wanted;
        let request = self.request(redlock);
        let Self {
            wait,
            longest,
            says,
            interruptions,
            turn,
            waited,
            ..
        } = self;
        let asked = async {
            if wait.does_not() {
                connect::wait_for(redlock, resource).await?;
            } else {
                connect::settle(redlock, resource, SETTLED).await;
            }
            let begin = Instant::now();
            let asked = tokio::select! {
                biased;
                guard = request => guard.map(Some),
                () = says.look(redlock, turn) => Ok(None),
            };
            *waited += begin.elapsed();
            let counted = |mut error| {
                // The time before it had its turn counts as well.
                if let LockError::TimedOut { waited, .. } = &mut error {
                    *waited = longest.unwrap_or_default();
                }
                error
            };
            asked.map_err(counted).map_err(|error| match error {
                // Who is in the way says more than that nobody answered.
                LockError::TimedOut { .. } | LockError::NoQuorum { .. } if !connect::is_reached(redlock, resource) => {
                    connect::no_quorum(&redlock.servers())
                }
                error => error.into(),
            })
        };
        let asked = tokio::select! {
            biased;
            failure = interruptions.interrupted() => Err(failure),
            asked = asked => asked,
        };
        asked.map_err(|failure| self.wait.conflict(failure))
    }

    fn request(&self, redlock: &Redlock) -> AcquireRequest {
        let Wanted { resource, ttl, fenced } = self.wanted;
        let left = self.longest.map(|longest| longest.saturating_sub(self.waited));
        let request = match left {
            _ if self.wait.does_not() => return self.once(redlock),
            Some(Duration::ZERO) => return self.once(redlock),
            Some(left) => redlock.acquire(resource, ttl).timeout(left),
            None => redlock.acquire(resource, ttl),
        };
        if fenced { request.fenced() } else { request }
    }

    fn once(&self, redlock: &Redlock) -> AcquireRequest {
        let Wanted { resource, ttl, fenced } = self.wanted;
        let request = redlock.try_acquire(resource, ttl);
        if fenced { request.fenced() } else { request }
    }
}

async fn limit(left: Option<Duration>) {
    match left {
        Some(left) => sleep(left).await,
        None => pending().await,
    }
}
