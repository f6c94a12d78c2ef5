//! Pictures of numbers that nobody has measured.

use clap::Parser as _;

use super::{super::spread::grouped, *};
use crate::{
    args::{Arguments, Plan},
    measure::{
        Sample, Samples,
        contention::turns::{self, CREWS},
        frozen::{self, DEMANDS, PHASES},
        throughput,
    },
};

fn plan(words: &[&str]) -> Plan {
    let arguments = Arguments::try_parse_from([&["bench"], words].concat());
    arguments.expect("it is understood").plan
}

/// Samples of a number for each contender, each key and each of three repeats.
fn samples<K: Copy, N>(contenders: &[Name], keys: &[K], numbers: impl Fn(usize) -> N) -> Samples<K, N> {
    let each = contenders
        .iter()
        .flat_map(|name| keys.iter().map(move |key| (*name, *key)));
    let each = each.enumerate().flat_map(|(index, (contender, key))| {
        let numbers = &numbers;
        (0..3).map(move |repeat| Sample {
            contender,
            key,
            repeat,
            numbers: numbers(3 * index + repeat),
        })
    });
    Samples(each.collect())
}

/// A report in which no two numbers are the same, all of them are multiples of this size, and the middle repeat is the median.
fn report(plan: &Plan, size: f64) -> Report<'_> {
    let mut report = Report::new(plan);
    let number = |index: usize| size * (1_000 + index) as f64;
    let sizes = plan.servers.iter().flat_map(|&servers| {
        let callers = plan.callers.iter();
        callers.map(move |&callers| Size { servers, callers })
    });
    let sizes: Vec<_> = sizes.collect();
    report.throughput = samples(&plan.contenders, &sizes, |index| throughput::Numbers {
        cycles_per_second: number(index),
        ..Default::default()
    });
    let phases = DEMANDS.iter().flat_map(|&demand| PHASES.map(|phase| (demand, phase)));
    let phases: Vec<_> = phases.collect();
    report.frozen = samples(&plan.peers(), &phases, |index| frozen::Numbers {
        p50: number(index) * 1e3,
        max: number(index) * 1e7,
        ..Default::default()
    });
    report.contention.turns = samples(&plan.waiting(), &CREWS, |index| turns::Numbers {
        hand_overs_per_second: number(index),
        ..Default::default()
    });
    report
}

/// What the texts of a picture say.
fn texts(svg: &str) -> Vec<&str> {
    let texts = svg.split("<text").skip(1);
    texts
        .filter_map(|text| Some(text.split_once('>')?.1.split_once('<')?.0.trim()))
        .collect()
}

#[test]
fn every_contender_and_every_number_is_on_the_picture() {
    let plan = plan(&["all", "--repeats", "3"]);
    let report = report(&plan, 1.0);
    let pictures = report.pictures().expect("they can be drawn");
    let [(_, throughput), (_, frozen), (_, hand_overs)] = &*pictures else {
        panic!("there are three pictures");
    };
    let says = |svg: &str, contender: Name, values: Vec<f64>| {
        let texts = texts(svg);
        let name = contender.to_string();
        assert!(texts.iter().any(|text| text.starts_with(&name)), "{name}: {texts:?}");
        for value in values.into_iter().map(|value| grouped(value, 0)) {
            assert!(texts.contains(&value.as_str()), "{name}, {value}: {texts:?}");
        }
    };
    for name in Name::ALL {
        let keys = report.throughput.keys().into_iter();
        let rates = keys.filter_map(|key| report.throughput.spread(name, key, |numbers| numbers.cycles_per_second));
        says(throughput, name, rates.map(|spread| spread.median).collect());
    }
    for name in plan.peers() {
        let keys = DEMANDS.iter().flat_map(|&demand| [(demand, HEALTHY), (demand, FROZEN)]);
        let medians = keys.filter_map(|key| report.frozen.spread(name, key, |numbers| numbers.p50));
        says(frozen, name, medians.map(|spread| spread.median / 1e3).collect());
    }
    for name in plan.waiting() {
        let turns = &report.contention.turns;
        let keys = turns.keys().into_iter();
        let rates = keys.filter_map(|key| turns.spread(name, key, |numbers| numbers.hand_overs_per_second));
        says(hand_overs, name, rates.map(|spread| spread.median).collect());
    }
}

#[test]
fn a_picture_says_when_and_where_it_was_measured() {
    let plan = plan(&["all", "--seconds", "4", "--repeats", "3"]);
    let report = report(&plan, 1.0);
    for (name, svg) in report.pictures().expect("they can be drawn") {
        let prose = texts(&svg).join(" ");
        for words in [
            report.date.to_string(),
            report.machine.to_string(),
            "3 measurements of 4s".to_owned(),
        ] {
            assert!(prose.contains(&words), "{name}: {prose}");
        }
    }
}

#[test]
fn what_was_not_measured_is_not_drawn() {
    let plan = plan(&["all"]);
    assert_eq!(Report::new(&plan).pictures().expect("nothing is to be drawn"), []);
    let mut report = report(&plan, 1.0);
    report.throughput = Samples::default();
    let drawn = report.pictures().expect("they can be drawn");
    assert_eq!(
        drawn.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["frozen.svg", "hand-overs.svg"]
    );
}

#[test]
fn any_choice_has_pictures_and_numbers_of_any_size() {
    for words in [
        &["all", "--servers", "3", "--callers", "8", "--contender", "rslock"][..],
        &[
            "all",
            "--servers",
            "1,2,3,4,5,6,7,8,9",
            "--callers",
            "1,2,4,8,16,32,64,128",
        ],
    ] {
        for size in [0.0, f64::MIN_POSITIVE, 1e-9, 1.0, 1e9, 1e18, 1e290] {
            let plan = plan(words);
            let pictures = report(&plan, size).pictures().expect("they can be drawn");
            assert_eq!(pictures.len(), 3, "{size}");
            let again = report(&plan, size).pictures().expect("they can be drawn");
            assert_eq!(pictures, again, "the same numbers make the same pictures");
            let is_large = !pictures[0].1.starts_with("<svg width=\"820\"");
            assert_eq!(
                is_large,
                plan.servers.len() > 5,
                "what does not fit makes a larger picture"
            );
            for (name, svg) in pictures {
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}, {size}");
            }
        }
    }
}
