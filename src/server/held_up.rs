//! Waiting for an answer, without counting the time in which this process was held up itself.

use std::{future::Future, pin::pin, time::Duration};
use tokio::time::{Instant, timeout};

/// Into how many slices a time limit is cut.
const SLICES: u32 = 8;

/// However often the process is held up, an answer is waited for in at most so many slices. It may take that many turns of tasks
/// to be asked for and read, so this is not a time.
const MOST_SLICES: u32 = 8 * SLICES;

/// The longest time that these slices may take: this one, or four times the limit if that is longer. What floods a process with
/// messages holds it up, too.
const LONGEST: Duration = Duration::from_secs(4);

/// The time was up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TimeIsUp;

/// Waits for an answer, at most for so long as this process could have heard of it.
///
/// If a process is held up, its timers come late, and so does whatever reads its sockets: then an answer that has arrived long ago
/// is not there yet when the time is up. A slice of the time that took twice as long as it should is not counted.
pub(crate) async fn answer_within<T>(limit: Duration, answer: impl Future<Output = T>) -> Result<T, TimeIsUp> {
    let mut answer = pin!(answer);
    let slice = whole_millis(limit / SLICES).max(Duration::from_millis(1));
    let longest = LONGEST.max(limit.saturating_mul(4));
    let (started, mut waited) = (Instant::now(), Duration::ZERO);
    for _ in 0..MOST_SLICES {
        if waited >= limit || started.elapsed() >= longest {
            break;
        }
        let before = Instant::now();
        if let Ok(answer) = timeout(slice.min(limit.saturating_sub(waited)), &mut answer).await {
            return Ok(answer);
        }
        if !was_held_up(before, slice) {
            waited += slice;
        }
    }
    Err(TimeIsUp)
}

/// Timers have steps of a millisecond: a slice between two of them would be rounded up, and with it the sum of all.
fn whole_millis(duration: Duration) -> Duration {
    duration.saturating_sub(Duration::from_nanos(u64::from(duration.subsec_nanos() % 1_000_000)))
}

/// Whether a wait that began then, and should have taken so long, took twice as long or more.
pub(crate) fn was_held_up(since: Instant, should_take: Duration) -> bool {
    // Timers have steps of a millisecond.
    since.elapsed() >= should_take.saturating_mul(2) + Duration::from_millis(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::pending, thread};
    use tokio::{
        task::yield_now,
        time::{advance, sleep},
    };

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_until_the_limit_and_no_longer() {
        for limit in [1, 7, 8, 1_000, 3_333] {
            let before = Instant::now();
            assert_eq!(answer_within(ms(limit), pending::<()>()).await, Err(TimeIsUp));
            assert_eq!(before.elapsed(), ms(limit));
            assert!(answer_within(ms(limit), async { 7 }).await.is_ok());
        }
        assert!(answer_within(ms(100), sleep(ms(98))).await.is_ok());
        assert!(answer_within(Duration::MAX, sleep(ms(98))).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_holds_up_the_process_all_the_time_does_not_make_it_wait_for_long() {
        for (limit, longest) in [(100, 4_000), (800, 4_000), (2_000, 8_000)] {
            let jumps = tokio::spawn(async {
                loop {
                    advance(ms(600)).await;
                    yield_now().await;
                }
            });
            let before = Instant::now();
            assert_eq!(answer_within(ms(limit), pending::<()>()).await, Err(TimeIsUp));
            jumps.abort();
            let (elapsed, longest) = (before.elapsed(), ms(longest));
            assert!(elapsed >= longest && elapsed <= longest + ms(1_200), "{elapsed:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_holds_up_the_process_for_short_times_does_not_make_it_wait_for_more_than_so_many_slices() {
        let jumps = tokio::spawn(async {
            loop {
                advance(ms(15)).await;
                yield_now().await;
            }
        });
        let before = Instant::now();
        assert_eq!(answer_within(ms(40), pending::<()>()).await, Err(TimeIsUp));
        jumps.abort();
        let (elapsed, most) = (before.elapsed(), MOST_SLICES * ms(15));
        assert!(elapsed > most * 9 / 10 && elapsed < most * 11 / 10, "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_was_held_up_if_it_took_twice_as_long_and_a_step_of_the_timer_more() {
        let since = Instant::now();
        assert!(!was_held_up(since, ms(0)));
        advance(ms(201)).await;
        assert!(!was_held_up(since, ms(100)));
        advance(ms(1)).await;
        assert!(was_held_up(since, ms(100)) && !was_held_up(since, ms(101)));
    }

    #[tokio::test]
    async fn an_answer_that_was_there_while_the_thread_was_held_up_is_heard() {
        // It takes a few turns of the scheduler after the thread goes on, as what reads a socket does.
        let answer = async {
            yield_now().await;
            thread::sleep(ms(200));
            sleep(ms(1)).await;
        };
        assert!(answer_within(ms(40), answer).await.is_ok());
    }
}
