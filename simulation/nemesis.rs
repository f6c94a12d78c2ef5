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
    /// The replica of a server gets nothing more from it.
    FallBehind {
        server: usize,
    },
    /// That replica takes the server's place.
    Promote {
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
    /// A client is closed while it is in use.
    Close {
        client: Process,
    },
    /// A server drops all keys.
    Flush {
        server: usize,
    },
    /// Another library sets a key, and does nothing more about it.
    Leave {
        server: usize,
        resource: usize,
        ttl: Option<Duration>,
    },
    /// What was left is removed.
    Clean {
        server: usize,
        resource: usize,
    },
    /// An operator removes a key, whosever it is.
    Remove {
        server: usize,
        resource: usize,
    },
}

/// The value of keys that were left behind.
pub(super) const FOREIGN: &str = "another-library";

/// Strikes until the time is up, then heals everything.
pub(super) async fn rage() {
    let world = world();
    let (length, quiet) = (world.plan.length, world.plan.quiet);
    if world.plan.is_calm && world.dice(|rng| rng.gen_bool(0.5)) {
        // All that is waited for is raced for on one server less.
        let server = world.plan.littered;
        for resource in 0..world.plan.resources {
            let ttl = None;
            inflict(Strike::Leave { server, resource, ttl });
        }
    }
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

/// Breaks a client's connection to a server that has not answered it yet, and keeps the two apart until what the client has set
/// there is over, or almost.
pub(super) fn cut_off(client: Process) {
    let world = world();
    let unanswered = world.network.borrow().unanswered(client);
    let server = world.dice(|rng| unanswered.choose(rng).copied());
    let Some(server) = server.filter(|_| !world.plan.is_calm) else {
        return;
    };
    inflict(Strike::Cut {
        client,
        server,
        is_told: true,
    });
    inflict(Strike::Block {
        client,
        server,
        to: true,
        from: true,
    });
    let lasts = world.plan.ttl.mul_f64(world.dice(|rng| rng.gen_range(0.7..1.3)));
    Process(0).spawn(async move {
        sleep(lasts).await;
        inflict(Strike::Unblock { client, server });
    });
}

/// What strikes next, and what ends it.
fn choose() -> Option<(Strike, Option<Strike>)> {
    let world = world();
    let clients: Vec<Process> = world.clients.borrow().keys().copied().collect();
    let client = *world.dice(|rng| clients.choose(rng).copied()).as_ref()?;
    let server = world.dice(|rng| rng.gen_range(0..world.plan.servers.len()));
    let forgets = world.plan.memory != Memory::Kept && world.dice(|rng| rng.gen_bool(0.6));
    let (coin, other) = world.dice(|rng| (rng.gen_bool(0.5), rng.gen_bool(0.5)));
    let resource = world.dice(|rng| rng.gen_range(0..world.plan.resources));
    let leave = || {
        let server = world.plan.littered;
        let ttl = coin.then(|| Duration::from_millis(world.dice(|rng| rng.gen_range(50..8_000))));
        let leave = Strike::Leave { server, resource, ttl };
        (leave, ttl.is_none().then_some(Strike::Clean { server, resource }))
    };
    if world.plan.is_calm {
        return Some(leave());
    }
    if let Some(server) = world.plan.replicated.filter(|_| world.dice(|rng| rng.gen_bool(0.1))) {
        return Some((Strike::FallBehind { server }, Some(Strike::Promote { server })));
    }
    Some(match world.dice(|rng| rng.gen_range(0..22)) {
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
        19 if world.plan.memory == Memory::Lost => (Strike::Flush { server }, None),
        20 if world.plan.memory == Memory::Lost => (Strike::Remove { server, resource }, None),
        20 | 21 => leave(),
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
        // It takes a server that runs.
        Strike::Remove { server, .. } if !world.network.borrow().is_well(server) => return,
        Strike::Leave { .. } | Strike::Promote { .. } if world.is_healed.get() => return,
        _ => {}
    }
    // A key is set as soon as nobody else has it.
    if !matches!(strike, Strike::Leave { .. }) {
        world.note(Happened::Struck(strike));
    }
    let network = || world.network.borrow_mut();
    match strike {
        Strike::Crash { server, forgets } => network().crash(server, forgets),
        Strike::Restart { server } => network().restart(server),
        Strike::FallBehind { server } => network().fall_behind(server),
        Strike::Promote { server } => network().promote(server),
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
        Strike::Leave { .. } => network().leave(strike, &mut world.history.borrow_mut()),
        Strike::Clean { server, resource } => network().remove(server, resource, Some(FOREIGN)),
        Strike::Remove { server, resource } => network().remove(server, resource, None),
    }
    note_reached();
    if let Strike::Promote { .. } = strike {
        start_another();
    }
}

/// Now and then, kills a client and starts another, which knows nothing of how the servers were before.
fn start_another() {
    let world = world();
    let clients: Vec<Process> = world.clients.borrow().keys().copied().collect();
    let client = world.dice(|rng| clients.choose(rng).copied());
    if let Some(client) = client.filter(|_| world.dice(|rng| rng.gen_bool(0.5))) {
        inflict(Strike::Kill { client });
        inflict(Strike::Start { client });
    }
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
        if server == world.plan.littered {
            (0..world.plan.resources).for_each(|resource| inflict(Strike::Clean { server, resource }));
        }
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
