//! Finds out what can be known of the servers: of all at once, and within a bounded time whatever they do.

mod inspect;
mod trial;

use super::{
    address::Way,
    facts::{Inspected, Missed, ServerFacts, ShortHistory, Trial},
};
use crate::{connect::all_tried, exit::Failure, settings::Settings};
use multiredlock::{
    Redlock, Server,
    event::{Event, Warning},
    status::{DownReason, ServerState, ServerStatus},
};
use std::{future::Future, time::Duration};
use tokio::{task::JoinSet, time::timeout};
use trial::Alone;

/// How long one server may take for all that is asked of it once it is reached.
const LONGEST: Duration = Duration::from_secs(6);

/// How long connections have to end in order.
const FAREWELL: Duration = Duration::from_secs(1);

/// Looks at every server, in the order in which they are configured, and closes the client of them.
pub(super) async fn gather(redlock: &Redlock, settings: &Settings) -> Result<Vec<ServerFacts>, Failure> {
    let servers: Vec<Server> = settings.servers()?.concat();
    let ways: Vec<Way> = servers.iter().map(|server| Way::new(server, &settings.tls)).collect();
    let mut looks = JoinSet::new();
    for (number, (server, way)) in servers.into_iter().zip(&ways).enumerate() {
        let alone = Alone::new(settings, server)?;
        let inspection = inspect::through(way.target.clone(), settings);
        looks.spawn(async move {
            let (trial, inspected) = look(&alone, inspection).await;
            alone.close().await;
            (number, trial, inspected)
        });
    }
    let mut told = Vec::new();
    let looks = async {
        all_tried(redlock).await;
        looks.join_all().await
    };
    let mut looked = meanwhile(redlock, &mut told, looks).await;
    looked.sort_by_key(|(number, ..)| *number);
    let statuses = redlock.servers();
    let _ = timeout(FAREWELL, redlock.close()).await;
    let all = statuses.into_iter().zip(ways).zip(looked);
    Ok(all
        .map(|((status, way), (_, trial, inspected))| facts(status, way, trial, inspected, &told))
        .collect())
}

/// Looks at one server. Nothing but the library speaks to what it has not found to be a Redis server: a password is not for
/// strangers, and nobody else bounds what they may send.
async fn look(
    alone: &Alone,
    inspection: impl Future<Output = Result<Inspected, Missed>>,
) -> (Trial, Result<Inspected, Missed>) {
    let inspection = async {
        let inspected = timeout(LONGEST, inspection).await;
        inspected.unwrap_or_else(|_| Err(Missed::Skipped(format!("it takes longer than {LONGEST:?}"))))
    };
    match alone.state().await {
        ServerState::Up => {
            let (trial, inspected) = tokio::join!(timeout(LONGEST, alone.run()), inspection);
            (trial.unwrap_or(Trial::Untried), inspected)
        }
        ServerState::Down(DownReason::Replica | DownReason::Loading | DownReason::NoPermission(_)) => {
            (Trial::Untried, inspection.await)
        }
        ServerState::Down(reason) => (Trial::Untried, Err(Missed::Skipped(reason.to_string()))),
        _ => (Trial::Untried, Err(Missed::Skipped("its state is unknown".into()))),
    }
}

/// Keeps the warnings that are told while something else is done: they are not told again.
async fn meanwhile<T>(redlock: &Redlock, told: &mut Vec<(String, Warning)>, work: impl Future<Output = T>) -> T {
    let mut events = redlock.events();
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => if let Event::Warning { server, warning, .. } = event {
                told.push((server.to_string(), warning));
            },
            done = &mut work => return done,
        }
    }
}

fn facts(
    status: ServerStatus,
    way: Way,
    trial: Trial,
    inspected: Result<Inspected, Missed>,
    told: &[(String, Warning)],
) -> ServerFacts {
    let name = status.address.to_string();
    let warnings = told.iter().filter(|(server, _)| *server == name);
    let warnings: Vec<Warning> = warnings.map(|(_, warning)| warning.clone()).collect();
    ServerFacts {
        eviction: warnings.iter().find_map(|warning| match warning {
            Warning::Eviction { policy, .. } => Some(policy.clone()),
            _ => None,
        }),
        short_history: warnings.iter().find_map(|warning| match warning {
            Warning::ShortHistory {
                backlog_ttl, max_ttl, ..
            } => Some(ShortHistory {
                backlog_ttl: *backlog_ttl,
                max_ttl: *max_ttl,
            }),
            _ => None,
        }),
        warnings,
        name,
        group: status.group,
        way,
        state: status.state,
        trial,
        inspected,
    }
}
