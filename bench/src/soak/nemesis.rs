//! What goes wrong, again and again: each kind of fault once in random order, then all of them in another.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use nix::sys::signal::Signal;
use tokio::time::sleep;

use test_support::Mode;

use super::{CLIENTS, SERVERS, World, between, now, server::restart_if_down};
use crate::Result;

#[derive(Clone, Copy)]
enum OfServer {
    Kill,
    Stop,
    KillClients,
    FlushScripts,
    FlushAll,
    OutOfMemory,
}

#[derive(Clone, Copy)]
enum OfClient {
    Delay,
    HoldRequests,
    HoldReplies,
    HoldBoth,
    Cut,
    Reset,
    Stop,
    Kill,
}

/// Disturbs one server after the other, and now and then two at once.
pub async fn of_servers(world: Arc<World>, seed: u64) -> Result<()> {
    use OfServer::{FlushAll, FlushScripts, Kill, KillClients, OutOfMemory, Stop};

    let mut rng = Rng::with_seed(seed);
    for round in 0_u64.. {
        let mut kinds = vec![Kill, Stop, KillClients, FlushScripts, OutOfMemory, Stop];
        // Rarely, since it takes away what is to be checked.
        if round % 5 == 0 {
            kinds.push(FlushAll);
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
    let command = match kind {
        OfServer::Kill => {
            world.count("server killed, and started again");
            return blocking(world, move |world| {
                world.servers[number].crash();
                Ok(())
            })
            .await;
        }
        OfServer::Stop => {
            world.count("server stopped (SIGSTOP)");
            world.servers[number].freeze();
            return Ok(());
        }
        OfServer::KillClients => {
            world.count("CLIENT KILL");
            ["CLIENT", "KILL", "TYPE", "normal"].as_slice()
        }
        OfServer::FlushScripts => {
            world.count("SCRIPT FLUSH");
            &["SCRIPT", "FLUSH"]
        }
        OfServer::FlushAll => {
            world.count("FLUSHALL");
            world.state().checker.flushed(now());
            &["FLUSHALL"]
        }
        OfServer::OutOfMemory => {
            world.count("CONFIG SET maxmemory 1");
            &["CONFIG", "SET", "maxmemory", "1"]
        }
    };
    run(world, number, command).await
}

async fn end(world: &Arc<World>, kind: OfServer, number: usize) -> Result<()> {
    match kind {
        OfServer::Kill => blocking(world, move |world| restart_if_down(&world.servers[number])).await,
        OfServer::Stop => {
            world.servers[number].thaw();
            Ok(())
        }
        OfServer::OutOfMemory => run(world, number, &["CONFIG", "SET", "maxmemory", "0"]).await,
        OfServer::KillClients | OfServer::FlushScripts | OfServer::FlushAll => Ok(()),
    }
}

async fn run(world: &Arc<World>, number: usize, command: &'static [&'static str]) -> Result<()> {
    blocking(world, move |world| {
        world.servers[number].try_command(command)?;
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
    use OfClient::{Cut, Delay, HoldBoth, HoldReplies, HoldRequests, Kill, Reset, Stop};

    let mut rng = Rng::with_seed(!seed);
    loop {
        let mut kinds = [Delay, HoldRequests, HoldReplies, HoldBoth, Cut, Reset, Stop, Stop, Kill];
        rng.shuffle(&mut kinds);
        for kind in kinds {
            let client = rng.usize(..CLIENTS);
            // One way, two, or all of them.
            let ways = rng.usize(1..=SERVERS);
            match kind {
                Stop => stop(&world, client, between(&mut rng, 500, 5_000)).await,
                Kill => {
                    world.count("client killed, and another started");
                    world.kill_client(client).await;
                    world.start_client(client, rng.u64(..))?;
                }
                Delay | HoldRequests | HoldReplies | HoldBoth | Cut | Reset => {
                    let mode = mode(&world, kind, &mut rng);
                    let first = rng.usize(..SERVERS);
                    let disturbed: Vec<_> = (0..ways)
                        .map(|way| &world.proxies[client][(first + way) % SERVERS])
                        .collect();
                    for proxy in &disturbed {
                        proxy.set(mode);
                    }
                    sleep(between(&mut rng, 100, 3_000)).await;
                    // Half of what was held back is lost with its connection.
                    let is_lost = matches!(mode, Mode::Hold { .. }) && rng.bool();
                    for proxy in &disturbed {
                        if is_lost {
                            proxy.set(Mode::Reset);
                        }
                    }
                    sleep(Duration::from_millis(20)).await;
                    for proxy in &disturbed {
                        proxy.set(Mode::Pass);
                    }
                }
            }
            sleep(between(&mut rng, 100, 800)).await;
        }
    }
}

fn mode(world: &World, kind: OfClient, rng: &mut Rng) -> Mode {
    let (name, mode) = match kind {
        OfClient::Delay => ("network delays", Mode::Delay(between(rng, 5, 200))),
        OfClient::HoldRequests => ("network holds requests back", hold(true, false)),
        OfClient::HoldReplies => ("network holds replies back", hold(false, true)),
        OfClient::HoldBoth => ("network is a black hole", hold(true, true)),
        OfClient::Cut => ("network cuts", Mode::Cut),
        OfClient::Reset | OfClient::Stop | OfClient::Kill => ("network resets", Mode::Reset),
    };
    world.count(name);
    mode
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
