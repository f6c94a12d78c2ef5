//! What is said while one waits.

use crate::{facts::HolderFact, output::Output, queue::Notice};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::time::Duration;

/// Says whom one waits for: on a terminal in a line of its own that is gone in the end, otherwise whenever it is another.
pub(super) struct Says<'a> {
    resource: &'a str,
    output: &'a Output,
    line: Option<Line>,
    last: Option<Notice>,
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
        }
    }

    pub(super) fn resource(&self) -> &'a str {
        self.resource
    }

    /// What was said last.
    pub(super) fn last(&self) -> Option<&Notice> {
        self.last.as_ref()
    }

    pub(super) fn say(&mut self, notice: Notice) {
        let text = format!("waiting for `{}`: {}", self.resource, notice.words());
        if self.output.is_live() {
            self.line.get_or_insert_with(Line::new).says(text);
        } else if !self.last.as_ref().is_some_and(|last| is_same(last, &notice)) {
            let waiting = Waiting {
                event: "waiting",
                resource: self.resource,
                holder: notice.holder.as_ref(),
            };
            self.output.message(&waiting, || text);
        }
        self.last = Some(notice);
    }
}

/// Whether two notices tell of the same holder, or both of none.
fn is_same(one: &Notice, other: &Notice) -> bool {
    match (&one.holder, &other.holder) {
        (Some(one), Some(other)) => one.is_same_lock(other),
        (None, None) => true,
        _ => false,
    }
}

/// A line that goes away when it is dropped.
struct Line(ProgressBar);

impl Line {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}").expect("the template is right");
        Self(ProgressBar::new_spinner().with_style(style))
    }

    fn says(&self, text: String) {
        self.0.set_message(text);
        self.0.enable_steady_tick(Duration::from_millis(100));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
