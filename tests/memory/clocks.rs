//! A server's clock that is set is told, since keys expire by it.

use crate::support::{ms, secs, servers_and};
use multiredlock::{
    Drift,
    event::{Event, Warning},
};
use test_support::assert_matches;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt;

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_by_more_than_the_drift_is_told_and_by_less_is_not() {
    for (drift, small, large) in [
        (Drift::default(), ms(90), ms(110)),
        (Drift::factor(0.01).unwrap(), ms(10), ms(200)),
    ] {
        let (servers, redlock) = servers_and(3, |builder| builder.drift(drift)).await;
        sleep(secs(3)).await;
        let mut warnings = redlock.events().filter(|event| matches!(event, Event::Warning { .. }));
        let mut told = async || timeout(secs(20), warnings.next()).await.ok().flatten();
        for (ahead, expected) in [
            (small, None),
            (small + large, Some(("ahead", large))),
            (large, None),
            (secs(3_600), Some(("ahead", secs(3_600).saturating_sub(large)))),
            (secs(0), Some(("back", secs(3_600)))),
        ] {
            servers[1].set_clock_ahead(ahead);
            let told = told().await;
            match (told, expected) {
                (None, None) => {}
                (Some(Event::Warning { server, warning, .. }), Some(expected)) => {
                    assert_eq!(server, servers[1].server().address());
                    let set = match warning {
                        Warning::ClockAhead { by, .. } => ("ahead", by),
                        Warning::ClockBack { by, .. } => ("back", by),
                        other => panic!("{other:?}"),
                    };
                    assert_eq!(set, expected);
                }
                (told, _) => panic!("{told:?} where {expected:?} was expected"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_is_also_watched_while_the_connection_is_never_silent() {
    let (servers, redlock) = servers_and(3, |builder| builder).await;
    let busy = tokio::spawn({
        let redlock = redlock.clone();
        async move {
            loop {
                let lock = redlock.lock("busy", secs(10)).await.unwrap();
                redlock.unlock(&lock).counts().await;
                sleep(ms(100)).await;
            }
        }
    });
    sleep(secs(15)).await;
    let mut warnings = redlock.events().filter(|event| matches!(event, Event::Warning { .. }));
    servers[1].set_clock_ahead(secs(1));
    let told = timeout(secs(20), warnings.next()).await.unwrap();
    assert_matches!(told, Some(Event::Warning { warning: Warning::ClockAhead { by, .. }, .. }) if by == secs(1));
    busy.abort();
}

#[tokio::test(start_paused = true)]
async fn keys_expire_sooner_where_the_clock_is_set_ahead() {
    let (servers, redlock) = servers_and(1, |builder| builder).await;
    let _lock = redlock.lock("r", secs(10)).await.unwrap();
    servers[0].set_clock_ahead(secs(9));
    sleep(ms(999)).await;
    assert!(!servers[0].is_empty());
    sleep(ms(2)).await;
    assert!(servers[0].is_empty());
}
