//! What must hold in every run. Pure: it reads a history and the plan that led to it.

mod crowd;
mod events;
mod exclusion;
mod keys;
mod leftovers;
mod promises;
mod reach;
mod renewals;
mod requests;
mod votes;
mod waiting;

use super::{
    history::{Bits, Happened, History, How, Millis, Request, Value},
    nemesis::Strike,
    plan::Plan,
    tasks::Process,
};
use crate::FencingToken;
use keys::{Keys, Stay};
use reach::Reach;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Something that must not be.
#[derive(Debug)]
pub(super) struct Violation {
    /// Which rule it breaks.
    pub(super) rule: &'static str,
    /// Where in the history it shows.
    pub(super) entry: usize,
    pub(super) text: String,
}

/// A history by its requests and locks.
struct Facts<'a> {
    plan: &'a Plan,
    history: &'a History,
    requests: BTreeMap<Request, Asked>,
    holdings: Vec<Holding>,
    keys: Keys,
    /// When each client could reach each server and was not paused.
    reach: Reach,
    /// Values that were given to another client, on which two have a claim.
    handed_over: BTreeSet<Value>,
    /// When each client was paused.
    pauses: BTreeMap<Process, Vec<(Millis, Millis)>>,
    /// When which server was started again.
    restarts: Vec<(Millis, usize)>,
    /// Clients that were killed or closed.
    gone: BTreeMap<Process, Millis>,
    end: Millis,
}

struct Asked {
    at: Millis,
    client: Process,
    what: &'static str,
    resources: Bits,
    within: Option<Millis>,
}

/// What a client was granted.
struct Holding {
    entry: usize,
    client: Process,
    asked: Millis,
    resources: Bits,
    value: Value,
    token: Option<FencingToken>,
    granted: Millis,
    /// When it was valid by what the library said: from, and until.
    valid: Vec<(Millis, Millis)>,
    ended: Option<(Millis, How)>,
}

pub(super) fn check(plan: &Plan, history: &History) -> Vec<Violation> {
    let facts = Facts::new(plan, history);
    let mut found = Vec::new();
    for (entry, happened) in history.entries.iter().enumerate() {
        let rule = match happened.what {
            Happened::Wrong(rule) => rule,
            Happened::Misjudged { is_up: true, .. } => "a server that cannot be reached is said to be up",
            Happened::Misjudged { is_up: false, .. } => "a server that can be reached is said to be down",
            _ => continue,
        };
        found.push(Violation {
            rule,
            entry,
            text: happened.to_string(),
        });
    }
    exclusion::check(&facts, &mut found);
    promises::check(&facts, &mut found);
    votes::check(&facts, &mut found);
    requests::check(&facts, &mut found);
    leftovers::check(&facts, &mut found);
    renewals::check(&facts, &mut found);
    waiting::check(&facts, &mut found);
    crowd::check(&facts, &mut found);
    events::check(&facts, &mut found);
    found
}

impl<'a> Facts<'a> {
    fn new(plan: &'a Plan, history: &'a History) -> Self {
        let end = history.entries.last().map_or(Millis(0), |entry| entry.at);
        let mut facts = Self {
            plan,
            history,
            requests: BTreeMap::new(),
            holdings: Vec::new(),
            keys: Keys::default(),
            reach: Reach::new(),
            handed_over: BTreeSet::new(),
            pauses: BTreeMap::new(),
            restarts: Vec::new(),
            gone: BTreeMap::new(),
            end,
        };
        for (entry, happened) in history.entries.iter().enumerate() {
            facts.keys.note(entry, happened.at, &happened.what);
            facts.note(entry, happened.at, &happened.what);
        }
        facts.reach = reach::reach(&facts);
        facts
    }

    fn note(&mut self, entry: usize, at: Millis, what: &Happened) {
        match *what {
            Happened::Asked {
                request,
                client,
                what,
                resources,
                within,
            } => {
                let within = within.map(|within| Millis(millis(within)));
                let asked = Asked {
                    at,
                    client,
                    what,
                    resources,
                    within,
                };
                self.requests.insert(request, asked);
            }
            Happened::Granted {
                request,
                client,
                value,
                token,
                valid_until,
            } => {
                let Asked {
                    at: asked, resources, ..
                } = self.requests[&request];
                self.holdings.push(Holding {
                    entry,
                    client,
                    asked,
                    resources,
                    value,
                    token,
                    granted: at,
                    valid: vec![(at, valid_until)],
                    ended: None,
                });
            }
            Happened::Renewed { value, valid_until, .. } => {
                if let Some(valid) = self.valid_of(value) {
                    match valid.last_mut() {
                        Some((_, until)) if at <= *until => *until = valid_until,
                        // It had expired in between.
                        _ => valid.push((at, valid_until)),
                    }
                }
            }
            // The renewal may have been for less.
            Happened::NotRenewed { value, valid_until, .. } => {
                if let Some((_, until)) = self.valid_of(value).and_then(|valid| valid.last_mut()) {
                    *until = valid_until.min(*until);
                }
            }
            Happened::Ended {
                value,
                how,
                valid_until,
            } => {
                if how == How::HandedOver {
                    self.handed_over.insert(value);
                }
                let Some(holding) = self.holdings.iter_mut().rev().find(|holding| holding.value == value) else {
                    return;
                };
                holding.ended = Some((at, how));
                if let Some((_, until)) = holding.valid.last_mut() {
                    *until = if how == How::Abandoned {
                        valid_until
                    } else {
                        valid_until.min(at)
                    };
                }
            }
            Happened::Struck(Strike::Pause { client }) => {
                self.pauses.entry(client).or_default().push((at, self.end));
            }
            Happened::Struck(Strike::Resume { client }) => {
                if let Some((_, until)) = self.pauses.entry(client).or_default().last_mut() {
                    *until = (*until).min(at);
                }
            }
            Happened::Struck(Strike::Restart { server } | Strike::Promote { server }) => {
                self.restarts.push((at, server));
            }
            Happened::Struck(Strike::Kill { client } | Strike::Close { client }) => {
                self.gone.insert(client, at);
            }
            _ => {}
        }
    }

    fn valid_of(&mut self, value: Value) -> Option<&mut Vec<(Millis, Millis)>> {
        let holding = self.holdings.iter_mut().rev().find(|holding| holding.value == value)?;
        Some(&mut holding.valid)
    }

    /// Whether somebody may hold a value, or have asked for its renewal when it was handed over.
    fn may_hold(&self, value: Value, at: Millis) -> bool {
        let holding = self.holdings.iter().rev().find(|holding| holding.value == value);
        let is_held = |holding: &Holding| match holding.ended {
            Some((ended, How::Unlocked | How::Lost)) => at < ended,
            _ => true,
        };
        self.handed_over.contains(&value) || holding.is_some_and(is_held)
    }

    /// When keys end for a client whose clock goes as the server's does, which it goes by.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is rounded anyway"
    )]
    #[expect(clippy::cast_precision_loss, reason = "no run lasts that long")]
    fn told_until(&self, stay: &Stay) -> Millis {
        let set = self.history.entries[stay.entry].at;
        let left = stay.until.0.saturating_sub(set.0) as f64;
        Millis(set.0 + (left * self.plan.servers[stay.server].rate) as u64)
    }

    /// When a client has used a server for sure: it could reach it, was connected again, and the server was to vote. With the
    /// number of the stretch: before the first one, nothing held the two up.
    fn used(&self, client: Process, server: usize) -> impl Iterator<Item = (usize, (Millis, Millis))> {
        let recovery = millis(self.plan.longest_recovery());
        let guard = self.plan.longest_guard().map_or(0, millis);
        let stretches = self.reach.get(&(client, server)).into_iter().flatten().enumerate();
        stretches.filter_map(move |(number, (start, end))| {
            let was_restarted = self
                .restarts
                .iter()
                .any(|(at, restarted)| at <= start && *restarted == server);
            let from = Millis(start.0 + recovery + if was_restarted { guard } else { 0 });
            let until = self.gone.get(&client).map_or(*end, |gone| *gone.min(end));
            (from < until).then_some((number, (from, until)))
        })
    }

    fn majority(&self) -> usize {
        crate::decision::majority(self.plan.servers.len())
    }

    /// Whether a client was paused at any time between these.
    fn was_paused(&self, client: Process, from: Millis, until: Millis) -> bool {
        let pauses = self.pauses.get(&client).into_iter().flatten();
        pauses.into_iter().any(|(start, end)| *start <= until && *end >= from)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
