//! What goes wrong, and when.

use super::{client, history::Happened, network::Gate, plan::Memory, tasks::Process, world};
use rand::{Rng, seq::SliceRandom};
use std::time::Duration;
use tokio::time::sleep;

/// Something that goes wrong, or is well again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    Crash {
        server: usize,
        forgets: bool,
    },
    Restart {
        server: usize,
    },
    Freeze {
        server: usize,
    },
    Thaw {
        server: usize,
    },
    /// Messages wait on the way to a server, or back, or both.
    Block {
        client: Process,
        server: usize,
        to: bool,
        from: bool,
    },
    Unblock {
        client: Process,
        server: usize,
    },
    /// A connection breaks.
    Cut {
        client: Process,
        server: usize,
        is_told: bool,
    },
    Pause {
        client: Process,
    },
    Resume {
        client: Process,
    },
    Kill {
        client: Process,
    },
    Start {
        client: Process,
    },
    /// A handle is closed while it is in use.
    Close {
        client: Process,
    },
    /// A server drops all keys.
    Flush {
        server: usize,
    },
}

/// Strikes until the time is up, then heals everything.
pub(super) async fn rage() {
    let world = world();
    let (length, quiet) = (world.plan.length, world.plan.quiet);
    let mut left = length;
    loop {
        let pause = Duration::from_millis(world.dice(|rng| rng.gen_range(quiet / 8..=quiet)));
        if pause > left {
            sleep(left).await;
            break;
        }
        left -= pause;
        sleep(pause).await;
        if let Some((strike, cure)) = choose() {
            inflict(strike);
            if let Some(cure) = cure {
                let lasts = world.dice(|rng| match rng.gen_range(0..4) {
                    0 => rng.gen_range(1..50),
                    1 => rng.gen_range(50..500),
                    _ => rng.gen_range(200..3_000),
                });
                Process(0).spawn(async move {
                    sleep(Duration::from_millis(lasts)).await;
                    inflict(cure);
                });
            }
        }
    }
    heal();
}

/// What strikes next, and what ends it.
fn choose() -> Option<(Strike, Option<Strike>)> {
    let world = world();
    let clients: Vec<Process> = world.clients.borrow().keys().copied().collect();
    let client = *world.dice(|rng| clients.choose(rng).copied()).as_ref()?;
    let server = world.dice(|rng| rng.gen_range(0..world.plan.servers.len()));
    let forgets = world.plan.memory != Memory::Kept && world.dice(|rng| rng.gen_bool(0.6));
    let (coin, other) = world.dice(|rng| (rng.gen_bool(0.5), rng.gen_bool(0.5)));
    Some(match world.dice(|rng| rng.gen_range(0..20)) {
        0..=3 => (Strike::Crash { server, forgets }, Some(Strike::Restart { server })),
        4..=6 => (Strike::Freeze { server }, Some(Strike::Thaw { server })),
        7..=10 => {
            let (to, from) = (coin || !other, other || !coin);
            let block = Strike::Block {
                client,
                server,
                to,
                from,
            };
            (block, Some(Strike::Unblock { client, server }))
        }
        11..=13 => (
            Strike::Cut {
                client,
                server,
                is_told: coin,
            },
            None,
        ),
        14..=17 => (Strike::Pause { client }, Some(Strike::Resume { client })),
        18 if coin => (Strike::Kill { client }, Some(Strike::Start { client })),
        18 => (Strike::Close { client }, Some(Strike::Start { client })),
        _ if world.plan.memory == Memory::Lost => (Strike::Flush { server }, None),
        _ => return None,
    })
}

pub(super) fn inflict(strike: Strike) {
    let world = world();
    // What a client stood for may be over.
    let is_there = |client: &Process| world.clients.borrow().contains_key(client);
    match strike {
        Strike::Pause { client } if !is_there(&client) => return,
        Strike::Cut { client, .. } | Strike::Kill { client } | Strike::Close { client } if !is_there(&client) => return,
        _ => {}
    }
    world.note(Happened::Struck(strike));
    let network = || world.network.borrow_mut();
    match strike {
        Strike::Crash { server, forgets } => network().crash(server, forgets),
        Strike::Restart { server } => network().restart(server),
        Strike::Freeze { server } => network().freeze(server),
        Strike::Thaw { server } => network().thaw(server),
        Strike::Block {
            client,
            server,
            to,
            from,
        } => {
            if to {
                network().block(Gate::To(server, client));
            }
            if from {
                network().block(Gate::From(server, client));
            }
        }
        Strike::Unblock { client, server } => {
            network().unblock(Gate::To(server, client));
            network().unblock(Gate::From(server, client));
        }
        Strike::Cut {
            client,
            server,
            is_told,
        } => network().cut(client, server, is_told),
        Strike::Pause { client } => world.tasks.pause(client),
        Strike::Resume { client } => {
            world.tasks.resume(client);
            network().resumed(client);
        }
        Strike::Kill { client } => client::kill(client),
        Strike::Close { client } => client::close(client),
        // Another takes its place.
        Strike::Start { .. } => client::start(),
        Strike::Flush { server } => network().nodes[server].server.forget_all(),
    }
    note_reached();
}

/// Notes which servers can be reached now, or no more.
pub(super) fn note_reached() {
    let world = world();
    let crossings = std::mem::take(&mut world.network.borrow_mut().crossings);
    for (client, server, is_reached) in crossings {
        world.note(Happened::Reached {
            client,
            server,
            is_reached,
        });
    }
}

fn heal() {
    let world = world();
    for server in 0..world.plan.servers.len() {
        inflict(Strike::Thaw { server });
        inflict(Strike::Restart { server });
        for client in (0..world.processes.get()).map(Process) {
            let mut network = world.network.borrow_mut();
            network.unblock(Gate::To(server, client));
            network.unblock(Gate::From(server, client));
        }
    }
    note_reached();
    for client in (0..world.processes.get()).map(Process) {
        if world.tasks.is_paused(client) {
            inflict(Strike::Resume { client });
        }
    }
    world.is_healed.set(true);
    world.note(Happened::Healed);
}
