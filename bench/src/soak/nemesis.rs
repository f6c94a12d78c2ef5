//! What goes wrong, again and again: each kind of fault once in random order, then all of them in another.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use nix::sys::signal::Signal;
use test_support::Mode;
use tokio::time::sleep;

use super::{CLIENTS, SERVERS, World, between, now, server::restart_if_down};
use crate::Result;

type Words = &'static [&'static str];

/// A fault of a server.
#[derive(Clone, Copy)]
enum OfServer {
    Kill,
    Stop,
    /// A command that begins it, and one that ends it.
    Command(&'static str, Words, Option<Words>),
}

const KILL_CLIENTS: OfServer = OfServer::Command("CLIENT KILL", &["CLIENT", "KILL", "TYPE", "normal"], None);
const FLUSH_SCRIPTS: OfServer = OfServer::Command("SCRIPT FLUSH", &["SCRIPT", "FLUSH"], None);
const FLUSH_ALL: OfServer = OfServer::Command(FLUSHALL, &[FLUSHALL], None);
const FLUSHALL: &str = "FLUSHALL";
const OUT_OF_MEMORY: OfServer = OfServer::Command(
    "CONFIG SET maxmemory 1",
    &["CONFIG", "SET", "maxmemory", "1"],
    Some(&["CONFIG", "SET", "maxmemory", "0"]),
);

/// A fault of a client.
#[derive(Clone, Copy)]
enum OfClient {
    Network(&'static str, fn(&mut Rng) -> Mode),
    Stop,
    Kill,
}

const OF_CLIENTS: [OfClient; 9] = [
    OfClient::Network("network delays", |rng| Mode::Delay(between(rng, 5, 200))),
    OfClient::Network("network holds requests back", |_| hold(true, false)),
    OfClient::Network("network holds replies back", |_| hold(false, true)),
    OfClient::Network("network is a black hole", |_| hold(true, true)),
    OfClient::Network("network cuts", |_| Mode::Cut),
    OfClient::Network("network resets", |_| Mode::Reset),
    OfClient::Stop,
    OfClient::Stop,
    OfClient::Kill,
];

/// Disturbs one server after the other, and now and then two at once.
pub async fn of_servers(world: Arc<World>, seed: u64) -> Result<()> {
    use OfServer::{Kill, Stop};

    let mut rng = Rng::with_seed(seed);
    for attempt in 0_u64.. {
        let mut kinds = vec![Kill, Stop, KILL_CLIENTS, FLUSH_SCRIPTS, OUT_OF_MEMORY, Stop];
        // Rarely, since it takes away what is to be checked.
        if attempt % 5 == 0 {
            kinds.push(FLUSH_ALL);
        }
        rng.shuffle(&mut kinds);
        for kind in kinds {
            let server = rng.usize(..SERVERS);
            let more = (rng.u8(..5) == 0).then_some((server + 1) % SERVERS);
            for server in [Some(server), more].into_iter().flatten() {
                begin(&world, kind, server).await?;
            }
            sleep(between(&mut rng, 100, 2_500)).await;
            for server in [Some(server), more].into_iter().flatten() {
                end(&world, kind, server).await?;
            }
            sleep(between(&mut rng, 500, 3_000)).await;
        }
    }
    Ok(())
}

async fn begin(world: &Arc<World>, kind: OfServer, number: usize) -> Result<()> {
    match kind {
        OfServer::Kill => {
            world.count("server killed, and started again");
            let crash = move |world: &World| {
                world.servers[number].crash();
                Ok(())
            };
            blocking(world, crash).await
        }
        OfServer::Stop => {
            world.count("server stopped (SIGSTOP)");
            world.servers[number].freeze();
            Ok(())
        }
        OfServer::Command(name, words, _) => {
            world.count(name);
            if name == FLUSHALL {
                world.state().checker.flushed(now());
            }
            run(world, number, words).await
        }
    }
}

async fn end(world: &Arc<World>, kind: OfServer, number: usize) -> Result<()> {
    match kind {
        OfServer::Kill => blocking(world, move |world| restart_if_down(&world.servers[number])).await,
        OfServer::Stop => {
            world.servers[number].thaw();
            Ok(())
        }
        OfServer::Command(.., Some(words)) => run(world, number, words).await,
        OfServer::Command(.., None) => Ok(()),
    }
}

async fn run(world: &Arc<World>, number: usize, words: Words) -> Result<()> {
    blocking(world, move |world| {
        world.servers[number].try_command(words)?;
        Ok(())
    })
    .await
}

async fn blocking(world: &Arc<World>, act: impl FnOnce(&World) -> Result<()> + Send + 'static) -> Result<()> {
    let world = Arc::clone(world);
    tokio::task::spawn_blocking(move || act(&world)).await?
}

/// Disturbs the network of one client after the other, and the clients themselves.
pub async fn of_clients(world: Arc<World>, seed: u64) -> Result<()> {
    let mut rng = Rng::with_seed(!seed);
    loop {
        let mut kinds = OF_CLIENTS;
        rng.shuffle(&mut kinds);
        for kind in kinds {
            let client = rng.usize(..CLIENTS);
            // One way, two, or all of them.
            let ways = rng.usize(1..=SERVERS);
            match kind {
                OfClient::Stop => stop(&world, client, between(&mut rng, 500, 5_000)).await,
                OfClient::Kill => {
                    world.count("client killed, and another started");
                    world.kill_client(client).await;
                    world.start_client(client, rng.u64(..))?;
                }
                OfClient::Network(name, mode) => {
                    world.count(name);
                    let mode = mode(&mut rng);
                    let first = rng.usize(..SERVERS);
                    let set = |mode| {
                        for way in 0..ways {
                            world.proxies[client][(first + way) % SERVERS].set(mode);
                        }
                    };
                    set(mode);
                    sleep(between(&mut rng, 100, 3_000)).await;
                    // Half of what was held back is lost with its connection.
                    if matches!(mode, Mode::Hold { .. }) && rng.bool() {
                        set(Mode::Reset);
                    }
                    sleep(Duration::from_millis(20)).await;
                    set(Mode::Pass);
                }
            }
            sleep(between(&mut rng, 100, 800)).await;
        }
    }
}

fn hold(requests: bool, replies: bool) -> Mode {
    Mode::Hold { requests, replies }
}

/// Stops a client, for longer than its locks are valid more often than not.
async fn stop(world: &World, client: usize, length: Duration) {
    world.count("client stopped (SIGSTOP)");
    let signal = |signal| {
        if let Some(client) = &world.state().clients[client] {
            client.signal(signal);
        }
    };
    let from = now();
    signal(Signal::SIGSTOP);
    sleep(length).await;
    let until = now();
    world.state().checker.stopped(client, from, until);
    signal(Signal::SIGCONT);
}
