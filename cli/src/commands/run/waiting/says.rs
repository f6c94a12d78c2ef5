//! What is said while one waits.

use crate::{
    connect,
    facts::{HolderFact, short},
    live,
    output::{self, Output},
    queue::{LocalQueue, Notice, Turn},
};
use indicatif::{ProgressBar, ProgressStyle};
use multiredlock::{Redlock, status::Ownership};
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long nothing is said of waiting: most locks are there by then.
const SILENT: Duration = Duration::from_millis(200);

/// How often it is looked who holds the resource.
const LOOK: Duration = Duration::from_secs(1);

/// How often a line is written at the most where it does not change in place.
const PACE: Duration = Duration::from_secs(10);

/// For how many looks nothing is said of servers whose connections are still being made.
const CONNECTING: u32 = 3;

/// After how many looks at a resource that nobody holds, and that is not granted all the same, the next process has its turn.
const FRUITLESS: u32 = 5;

/// Says whom one waits for: on a terminal in a line of its own that is gone in the end, otherwise whenever it is another.
pub(super) struct Says<'a> {
    resource: &'a str,
    output: &'a Output,
    line: Option<Line>,
    last: Option<Notice>,
    /// The last line that was written where it does not change in place, and when.
    written: Option<(Notice, Instant)>,
}

/// What is told to programs.
#[derive(Serialize)]
struct Waiting<'a> {
    event: &'static str,
    resource: &'a str,
    holder: Option<&'a HolderFact>,
}

impl<'a> Says<'a> {
    pub(super) fn new(resource: &'a str, output: &'a Output) -> Self {
        Self {
            resource,
            output,
            line: None,
            last: None,
            written: None,
        }
    }

    /// What was said last.
    pub(super) fn last(&self) -> Option<&Notice> {
        self.last.as_ref()
    }

    /// Says what the process with the turn tells.
    pub(super) async fn follow(&mut self, queue: &LocalQueue) {
        sleep(SILENT).await;
        for look in 0.. {
            match queue.notice() {
                Some(notice) => self.say(notice),
                // It may have had no time yet.
                None if look == CONNECTING => self.say(Notice::of("another process of this machine asks before")),
                None => {}
            }
            sleep(LOOK).await;
        }
    }

    /// Says who holds a resource, and tells the processes behind. Returns when the next of them may have more luck.
    pub(super) async fn look(&mut self, redlock: &Redlock, turn: &Turn) {
        sleep(SILENT).await;
        let mut fruitless = 0;
        let mut looks = 0;
        while fruitless < FRUITLESS || !turn.is_queued() {
            let resource = self.resource;
            let notice = match redlock.owner(resource).await {
                Ok(Ownership::Held(holder)) => Notice::held(&holder),
                _ if !connect::is_reached(redlock, resource) => {
                    Notice::of(connect::no_quorum(&redlock.servers()).message)
                }
                Ok(Ownership::Free) => Notice::of("it is free, and others wait too"),
                _ => Notice::of("several ask for it at once"),
            };
            fruitless = if notice.holder.is_some() { 0 } else { fruitless + 1 };
            looks += 1;
            if notice.holder.is_some() || looks > CONNECTING || !connect::is_connecting(redlock) {
                turn.show(&notice);
                self.say(notice);
            }
            sleep(LOOK).await;
        }
    }

    fn say(&mut self, notice: Notice) {
        let text = format!("waiting for `{}`: {}", short(self.resource), notice.words());
        if self.output.is_live() {
            self.line.get_or_insert_with(Line::new).says(text);
        } else if self.is_due(&notice) {
            let waiting = Waiting {
                event: "waiting",
                resource: self.resource,
                holder: notice.holder.as_ref(),
            };
            self.output.message(&waiting, || text);
            self.written = Some((notice.clone(), Instant::now()));
        }
        self.last = Some(notice);
    }

    /// Whether another line is to be written. What changes more often is written when its time has come.
    fn is_due(&self, notice: &Notice) -> bool {
        let is_old = |(written, at): &(Notice, Instant)| !is_same(written, notice) && at.elapsed() >= PACE;
        self.written.as_ref().is_none_or(is_old)
    }
}

/// Whether two notices tell of the same holder, or of none for the same reason.
fn is_same(one: &Notice, other: &Notice) -> bool {
    match (&one.holder, &other.holder) {
        (Some(one), Some(other)) => one.is_same_lock(other),
        (None, None) => one.words() == other.words(),
        _ => false,
    }
}

/// A line that goes away when it is dropped.
struct Line(ProgressBar);

impl Line {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}").expect("the template is right");
        Self(ProgressBar::with_draw_target(None, live::target()).with_style(style))
    }

    fn says(&self, text: String) {
        self.0.set_message(text);
        self.0.enable_steady_tick(Duration::from_millis(100));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        // The command may write next.
        output::flush();
    }
}
