//! Real servers, several client processes, and everything that goes wrong between them, for as long as one likes.
//!
//! Three servers, two of which write each key to disk; one of these runs on a clock that is too fast, within the drift, where
//! libfaketime is installed. Each client process reaches each server through a proxy of its own. One [`nemesis`] disturbs the
//! servers and another the network and the clients, while the clients lock, renew, wait, cancel, and reopen their connections. Each says
//! what it held and for how long it could believe so; [`check`] compares.
//!
//! What must hold: no two processes or tasks believe at once that they hold a resource; a lock that was asked for after another was
//! granted has a larger token; every waiter is served or told in time; connected and disconnected alternate; and at the end nothing
//! is left, neither keys nor connections, tasks or memory. One fault takes away what exclusion rests on: `FLUSHALL` makes a server forget,
//! which no restart guard sees. What overlaps because of one is counted apart. Tokens grow all the same.

mod check;
pub mod client;
mod nemesis;
mod record;
mod report;
pub mod scale;
mod server;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use clap::Args;
use fastrand::Rng;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use test_support::{Mode, Network, RedisServer};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use self::{
    check::Checker,
    record::Record,
    report::{Leaks, Report},
    server::restart_if_down,
};
use crate::{
    Result,
    args::{self, Role},
    clock,
    contenders::Name,
    process::{self, READY},
};

/// The longest ttl of a lock, and what the restart guard is for.
const MAX_TTL: Duration = Duration::from_secs(3);
const SERVERS: usize = 3;
const CLIENTS: usize = 4;

/// What to do.
#[derive(Clone, Copy, Debug, Args)]
pub struct Plan {
    /// How long it lasts
    #[arg(id = "minutes", long, value_name = "M", default_value = "1", value_parser = minutes)]
    length: Duration,
    /// What faults are drawn from [default: at random]
    #[arg(long, value_name = "S", default_value_t = fastrand::u64(..), hide_default_value = true)]
    seed: u64,
    /// How many guards one process acquires at once
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    guards: usize,
    /// How many processes wait for the same resource at once
    #[arg(long, value_name = "N", default_value_t = 200)]
    processes: usize,
}

fn minutes(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(60.0 * text.parse::<f64>()?)?)
}

/// What both nemeses and the end of the run use.
struct World {
    servers: Vec<RedisServer>,
    has_faketime: bool,
    /// Of each client to each server.
    proxies: Vec<Vec<Network>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    clients: Vec<Option<Client>>,
    generation: u32,
    checker: Checker,
    faults: BTreeMap<&'static str, u64>,
    leaks: Leaks,
}

/// A client process.
struct Client {
    process: Child,
    /// Closing it tells the process to finish.
    input: ChildStdin,
    reader: JoinHandle<()>,
}

impl Client {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.process.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It fails only for a process that has ended.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// Runs it all, and says whether everything held.
pub async fn run(plan: Plan) -> Result<bool> {
    let (scale, checker) = scale::run(plan).await?;
    let world = Arc::new(World::start().await?);
    for client in 0..CLIENTS {
        world.start_client(client, plan.seed)?;
    }
    let started = Instant::now();
    let mut nemeses = JoinSet::new();
    nemeses.spawn(nemesis::of_servers(Arc::clone(&world), plan.seed));
    nemeses.spawn(nemesis::of_clients(Arc::clone(&world), plan.seed));
    while started.elapsed() < plan.length {
        sleep(Duration::from_secs(1)).await;
        if let Some(ended) = nemeses.try_join_next() {
            ended??;
        }
        let mut state = world.state();
        state.checker.check();
        let faults: u64 = state.faults.values().sum();
        let summary = state.checker.summary();
        eprintln!(
            "soak {:>5.0} s: {faults} faults, {summary}",
            started.elapsed().as_secs_f64()
        );
    }
    nemeses.shutdown().await;
    world.heal()?;
    world.finish().await?;
    let mut state = world.state();
    state.checker.check_all();
    state.checker.adopt(checker);
    let report = Report {
        plan,
        faults: &state.faults,
        checker: &state.checker,
        leaks: &state.leaks,
        scale,
        has_faketime: world.has_faketime,
    };
    print!("{report}");
    Ok(report.is_clean())
}

impl World {
    async fn start() -> Result<Self> {
        let faketime = server::faketime();
        let started = (0..SERVERS).map(|server| server::start(server < 2, faketime.as_deref().filter(|_| server == 1)));
        let started = started.collect::<Result<Vec<_>>>()?;
        let has_faketime = started.iter().any(|(_, is_fast)| *is_fast);
        let servers: Vec<_> = started.into_iter().map(|(server, _)| server).collect();
        let mut proxies = Vec::new();
        for _ in 0..CLIENTS {
            let mut own = Vec::new();
            for server in &servers {
                own.push(Network::to(server.address()).await);
            }
            proxies.push(own);
        }
        let clients = (0..CLIENTS).map(|_| None).collect();
        Ok(Self {
            servers,
            has_faketime,
            proxies,
            state: Mutex::new(State {
                clients,
                ..State::default()
            }),
        })
    }

    /// Starts a process in the place of one that is gone.
    fn start_client(self: &Arc<Self>, client: usize, seed: u64) -> Result<()> {
        let mut state = self.state();
        state.generation += 1;
        let generation = state.generation;
        let child = args::Child {
            contender: Name::Multiredlock,
            addresses: self.proxies[client].iter().map(|proxy| proxy.address()).collect(),
            role: Role::Soak { generation, seed },
        };
        let (process, input, output) = process::spawn(&child)?;
        let world = Arc::clone(self);
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line == READY {
                    continue;
                }
                let mut state = world.state();
                match Record::parse(&line) {
                    Some(Record::Ended { tasks, quarter, end }) => state.leaks.note_process(tasks, quarter, end),
                    Some(record) => state.checker.note(client, record),
                    None => state.checker.violation(format!("client {client} said `{line}`")),
                }
            }
        });
        state.clients[client] = Some(Client { process, input, reader });
        Ok(())
    }

    /// Kills a process. What it held it believes no longer.
    async fn kill_client(&self, client: usize) {
        let Some(mut gone) = self.state().clients[client].take() else {
            return;
        };
        // It fails only for a process that has ended.
        let _ = gone.process.kill().await;
        let _ = gone.reader.await;
        self.state().checker.killed(client);
    }

    /// Ends every disturbance.
    fn heal(&self) -> Result<()> {
        for proxy in self.proxies.iter().flatten() {
            proxy.set(Mode::Pass);
        }
        for server in &self.servers {
            if server.is_running() {
                server.thaw();
            }
            restart_if_down(server)?;
            server.try_command(&["CONFIG", "SET", "maxmemory", "0"])?;
        }
        for client in self.state().clients.iter().flatten() {
            client.signal(Signal::SIGCONT);
        }
        Ok(())
    }

    /// Lets the clients finish, and looks for what is left.
    async fn finish(&self) -> Result<()> {
        // Until every server votes again.
        sleep(MAX_TTL + Duration::from_secs(3)).await;
        let clients: Vec<_> = self.state().clients.iter_mut().map(Option::take).collect();
        for client in clients.into_iter().flatten() {
            let Client {
                mut process,
                input,
                reader,
            } = client;
            drop(input);
            let status = timeout(Duration::from_secs(60), process.wait()).await;
            let mut failed = None;
            match status {
                Ok(Ok(status)) if status.success() => {}
                Ok(status) => failed = Some(format!("a client ended with {status:?}")),
                Err(_) => failed = Some("a client does not finish".to_owned()),
            }
            let _ = timeout(Duration::from_secs(5), reader).await;
            self.state().checker.violations_of(failed);
        }
        sleep(MAX_TTL + Duration::from_secs(1)).await;
        for (number, server) in self.servers.iter().enumerate() {
            let (keys, connections) = (server::locks(server), server.clients().len());
            self.state().leaks.note_server(number, keys, connections);
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, fault: &'static str) {
        *self.state().faults.entry(fault).or_default() += 1;
    }
}

/// A random length, in milliseconds.
fn between(rng: &mut Rng, least: u64, most: u64) -> Duration {
    Duration::from_millis(rng.u64(least..=most.max(least)))
}

fn now() -> u64 {
    clock::nanos(clock::now())
}
