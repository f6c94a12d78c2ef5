//! Random operations, carried out by the script on a real server and by a server within the process, have the same outcomes and
//! leave the same behind.

use super::{
    BAD_FENCES, Snapshot, operation,
    server::{Connection, Reply},
    snapshot,
};
use crate::{
    fence::{self, Fence},
    server::{
        link::Outcome,
        memory::MemoryServer,
        operation::{Operation, Verb},
    },
};
use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};
use test_support::RedisServer;

const KEYS: [&str; 3] = ["a", "b", "c"];

/// The values, and the ttls in seconds that each is set for. No two values have the same, as it would be chance which of two keys
/// stays longer.
const VALUES: [(&str, [u64; 3]); 3] = [
    ("v_1_a", [10, 20, 30]),
    ("w_1_b", [13, 23, 33]),
    ("x_1_c", [16, 26, 36]),
];

/// What two clocks may differ by that are read one after the other.
const TOLERANCE_MS: i64 = 1_500;

/// How far from the time a token may be to be the time.
const NOW: u64 = 250_000;

/// A case that takes longer than this is ended, since the tokens that it proposes would be too near the time.
const LONGEST_CASE: Duration = Duration::from_millis(300);

#[derive(Clone, Debug)]
enum Step {
    Run {
        verb: Verb,
        keys: Vec<&'static str>,
        value: usize,
        ttl: usize,
        fence: Option<(Proposal, u64)>,
    },
    /// Puts a list in place of a key.
    SpoilKey(&'static str),
    /// Puts something that is no token in place of a fence.
    SpoilFence(&'static str, usize),
    Remove(&'static str),
}

/// A token, in microseconds after the beginning of the case, or without relation to it.
#[derive(Clone, Copy, Debug)]
enum Proposal {
    After(u64),
    Is(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = select(&KEYS[..]);
    let keys = prop_oneof![
        2 => key.clone().prop_map(|key| vec![key]),
        3 => prop::sample::subsequence(&KEYS[..], 1..=3),
    ];
    let verb = prop_oneof![
        4 => Just(Verb::Lock),
        2 => select(vec![Verb::ReSet, Verb::Renew, Verb::UpdateFence, Verb::Probe]),
        2 => Just(Verb::Unlock),
    ];
    let proposal = prop_oneof![
        8 => select(vec![700_000, 700_001, 800_000]).prop_map(Proposal::After),
        2 => Just(Proposal::Is(1)),
        1 => select(vec![1_500_000, 3_600_000_000]).prop_map(Proposal::After),
        1 => select(vec![fence::LARGEST_TOKEN - 1, fence::LARGEST_TOKEN, fence::LARGEST_TOKEN + 1, u64::MAX])
            .prop_map(Proposal::Is),
    ];
    let fence = prop::option::weighted(0.7, (proposal, select(vec![100, 200, 300])));
    let run = (verb, keys, 0..VALUES.len(), 0..3_usize, fence).prop_map(|(verb, keys, value, ttl, fence)| Step::Run {
        // Most do what can be done.
        value: value.saturating_sub(1),
        verb,
        keys,
        ttl,
        fence: fence.filter(|_| !matches!(verb, Verb::Probe | Verb::Unlock)),
    });
    let step = prop_oneof![
        20 => run,
        1 => key.clone().prop_map(Step::SpoilKey),
        1 => (key.clone(), 0..BAD_FENCES.len()).prop_map(|(key, kind)| Step::SpoilFence(key, kind)),
        2 => key.prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 1..25)
}

/// One case.
struct Case<'a> {
    real: &'a mut Connection,
    memory: MemoryServer,
    /// When it began, in microseconds by both servers.
    began: u64,
    since: Instant,
    spoilt_keys: HashSet<&'static str>,
    spoilt_fences: HashSet<&'static str>,
}

impl<'a> Case<'a> {
    fn new(real: &'a mut Connection) -> Self {
        real.say("FLUSHALL");
        let memory = MemoryServer::new();
        let Reply::List(time) = real.say("TIME") else {
            panic!("a server tells the time");
        };
        let number = |reply: &Reply| match reply {
            Reply::Bulk(text) => String::from_utf8_lossy(text).parse::<u64>().expect("it is a number"),
            other => panic!("{other:?}"),
        };
        let began = number(&time[0]) * 1_000_000 + number(&time[1]);
        memory.set_clock_ahead(Duration::from_micros(began - memory.time()));
        Self {
            real,
            memory,
            began,
            since: Instant::now(),
            spoilt_keys: HashSet::new(),
            spoilt_fences: HashSet::new(),
        }
    }

    fn is_late(&self) -> bool {
        self.since.elapsed() > LONGEST_CASE
    }

    fn operation(&self, step: &Step) -> Option<Operation> {
        let Step::Run {
            verb,
            keys,
            value,
            ttl,
            fence,
        } = step
        else {
            return None;
        };
        let (value, ttls) = VALUES[*value];
        let mut operation = operation(*verb, keys, value, Duration::from_secs(ttls[*ttl]));
        operation.fence = fence.map(|(proposal, expiry)| Fence {
            token: match proposal {
                Proposal::After(after) => self.began + after,
                Proposal::Is(token) => token,
            },
            expiry: Duration::from_secs(expiry),
        });
        Some(operation)
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Run { .. } => {}
            Step::SpoilKey(key) => {
                self.remove(key);
                self.real.say(&format!("RPUSH {key} x"));
                self.spoilt_keys.insert(key);
            }
            Step::SpoilFence(key, kind) => {
                let name = format!("{key}:fence:{{{key}}}");
                self.real.say(&format!("DEL {name}"));
                self.real.say(&BAD_FENCES[*kind].replace("KEY", &name));
                self.real.say(&format!("PEXPIRE {name} 50000"));
                self.spoilt_fences.insert(key);
            }
            Step::Remove(key) => self.remove(key),
        }
    }

    fn remove(&mut self, key: &'static str) {
        self.real.say(&format!("DEL {key}"));
        self.memory.forget(key);
        self.spoilt_keys.remove(key);
    }

    /// What the server within the process does, where it can have what the real one has.
    fn expected(&self, step: &Step, mut asked: Operation) -> Outcome {
        let Step::Run { verb, keys, value, .. } = step else {
            unreachable!("it is an operation");
        };
        let undo = |keys: &[&'static str]| operation(Verb::Unlock, keys, VALUES[*value].0, Duration::ZERO);
        let failed = Outcome::Failed(String::new());
        let whole: Vec<_> = keys
            .iter()
            .copied()
            .filter(|key| !self.spoilt_keys.contains(key))
            .collect();
        if whole.len() < keys.len() {
            if *verb == Verb::Unlock && !whole.is_empty() {
                self.memory.run(&undo(&whole), 0);
            }
            return failed;
        }
        let is_spoilt = asked.fence.is_some() && keys.iter().any(|key| self.spoilt_fences.contains(key));
        if !is_spoilt {
            return self.memory.run(&asked, 0);
        }
        asked.fence = None;
        match (self.memory.run(&asked, 0), verb) {
            (Outcome::Done, Verb::Lock) => {
                self.memory.run(&undo(keys), 0);
                failed
            }
            (Outcome::Done, Verb::UpdateFence) => failed,
            (outcome, _) => outcome,
        }
    }

    /// Whether the time is taken for the token on both sides, or it is the same. However busy the machine is, both sides read the time
    /// one after the other, and nothing that was proposed is that close to it.
    fn is_same_token(&self, real: u64, memory: u64) -> bool {
        let is_past = |token| token <= self.memory.time() + NOW;
        real == memory || (real.abs_diff(memory) < NOW && is_past(real) && is_past(memory))
    }

    fn is_same(&self, real: &Outcome, expected: &Outcome) -> bool {
        match (real, expected) {
            (Outcome::Fenced(real), Outcome::Fenced(expected)) => self.is_same_token(*real, *expected),
            (
                Outcome::Held { value, pttl },
                Outcome::Held {
                    value: other_value,
                    pttl: other_pttl,
                },
            ) => value == other_value && (pttl - other_pttl).abs() < TOLERANCE_MS,
            (Outcome::Failed(_), Outcome::Failed(_)) => true,
            (real, expected) => real == expected,
        }
    }

    /// Checks that both have the same keys and tokens.
    fn check(&mut self) -> Snapshot {
        let found = snapshot(self.real, &KEYS);
        for key in KEYS {
            if !self.spoilt_keys.contains(key) {
                let ours = self.memory.get(key);
                let (value, pttl) = &found[key];
                assert_eq!(value.as_deref(), ours.as_deref(), "the value of {key}");
                let left = self.left(key);
                assert!(
                    (pttl - left).abs() < TOLERANCE_MS,
                    "{key} has {pttl} ms left, not {left}"
                );
            }
            if !self.spoilt_fences.contains(key) {
                let (real, _) = &found[&format!("{key}:fence:{{{key}}}")];
                let real = real
                    .as_deref()
                    .map(|text| text.strip_prefix("token:").expect("it is a token"));
                let real = real.map(|digits| digits.parse::<u64>().expect("it is a number"));
                let ours = self.memory.token(key).map(u64::from);
                let is_same = match (real, ours) {
                    (Some(real), Some(ours)) => self.is_same_token(real, ours),
                    (real, ours) => real == ours,
                };
                assert!(is_same, "the token of {key} is {real:?}, not {ours:?}");
            }
        }
        found
    }

    /// What the server within the process says of a key's ttl.
    fn left(&self, key: &str) -> i64 {
        match self.memory.run(&operation(Verb::Probe, &[key], "", Duration::ZERO), 0) {
            Outcome::Held { pttl, .. } => pttl,
            _ => -2,
        }
    }
}

fn refuses(verb: Verb, outcome: &Outcome) -> bool {
    // An unlock removes what it can.
    verb != Verb::Unlock && matches!(outcome, Outcome::Missing | Outcome::Held { .. } | Outcome::Failed(_))
}

/// Takes the steps one by one and looks after each. Returns whether there was the time.
fn one_by_one(real: &mut Connection, steps: &[Step]) -> bool {
    let mut case = Case::new(real);
    let mut before = case.check();
    for step in steps {
        case.take(step);
        if let Some(operation) = case.operation(step) {
            let verb = operation.verb;
            let operation = Arc::new(operation);
            let outcome = case.real.run(&[Arc::clone(&operation)]).remove(0);
            drop(operation);
            let asked = case.operation(step).expect("it is one");
            let expected = case.expected(step, asked);
            if case.is_late() {
                return false;
            }
            assert!(
                case.is_same(&outcome, &expected),
                "{step:?}: {outcome:?}, not {expected:?}"
            );
            let after = case.check();
            if refuses(verb, &outcome) {
                super::assert_unchanged(&before, &after);
            }
            before = after;
        } else {
            before = case.check();
        }
    }
    true
}

/// Takes all operations in one batch. Returns whether there was the time.
fn together(real: &mut Connection, steps: &[Step]) -> bool {
    let mut case = Case::new(real);
    let batch: Vec<_> = steps
        .iter()
        .filter_map(|step| case.operation(step))
        .map(Arc::new)
        .collect();
    let outcomes = case.real.run(&batch);
    let operations = steps.iter().filter(|step| matches!(step, Step::Run { .. }));
    for (step, outcome) in operations.zip(outcomes) {
        let asked = case.operation(step).expect("it is one");
        let expected = case.expected(step, asked);
        if case.is_late() {
            return false;
        }
        assert!(
            case.is_same(&outcome, &expected),
            "{step:?}: {outcome:?}, not {expected:?}"
        );
    }
    case.check();
    true
}

#[test]
fn the_script_and_a_server_within_the_process_do_the_same() {
    let server = RedisServer::start();
    let real = RefCell::new(Connection::to(&server));
    let config = ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let in_time = Cell::new(0);
    let run = TestRunner::new(config).run(&steps(), |steps| {
        let mut real = real.borrow_mut();
        if one_by_one(&mut real, &steps) && together(&mut real, &steps) {
            in_time.set(in_time.get() + 1);
        }
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
    // A machine that is busy may be late now and then.
    assert!(in_time.get() > 0, "no case was in time");
}
