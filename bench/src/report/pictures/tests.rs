//! Pictures of numbers that nobody has measured.

use super::{super::spread::grouped, inspect::Picture, *};
use crate::{
    args::{self, Command, Plan},
    contenders::Name,
    measure::{
        contention::turns,
        frozen::{self, DEMANDS, Demand, Phase},
        throughput,
    },
};

fn plan(words: &[&str]) -> Plan {
    match args::parse(words.iter().map(ToString::to_string)) {
        Ok(Command::Measure(plan)) => plan,
        _ => panic!("it is a plan"),
    }
}

/// A report in which every number is told by a function of what it is about.
struct MadeUp {
    cycles_per_second: fn(Name, usize, usize, usize) -> f64,
    /// In microseconds.
    latency: fn(Name, Demand, bool, f64) -> f64,
    hand_overs_per_second: fn(Name, turns::Crew) -> f64,
}

/// Of the size that they have on a machine of two cores.
const USUAL: MadeUp = MadeUp {
    cycles_per_second: |name, servers, callers, repeat| {
        let speed = match name {
            Name::Floor => 5_500.0,
            Name::Multiredlock | Name::Guarded => 4_400.0,
            Name::Fenced => 3_900.0,
            Name::PlainFred | Name::Rslock => 1_030.0,
        };
        let queue = (callers as f64).powf(0.55);
        speed * queue * 3.0 / (servers as f64 + 1.0) * (1.0 + 0.07 * repeat as f64)
    },
    latency: |name, demand, frozen, quantile| {
        let hangs = name == Name::Rslock && frozen;
        let load = if demand == Demand::All { 3.0 } else { 1.0 };
        let tail = (1.0 - quantile).max(0.000_1).powf(-0.4);
        if hangs {
            500_000.0
        } else {
            200.0 * load * tail * if frozen { 1.1 } else { 1.0 }
        }
    },
    hand_overs_per_second: |name, crew| match (name, crew.processes) {
        (Name::Rslock, 1) => 89.0,
        (Name::Rslock, _) => 170.6,
        (_, 1) => 10_598.1,
        _ => 8_141.3,
    },
};

impl MadeUp {
    fn report<'p>(&self, plan: &'p Plan) -> Report<'p> {
        let mut report = Report::new(plan);
        for repeat in 0..plan.repeats {
            self.add_throughput(&mut report, repeat);
            self.add_frozen(&mut report);
            self.add_turns(&mut report, repeat);
        }
        report
    }

    fn add_throughput(&self, report: &mut Report<'_>, repeat: usize) {
        for &servers in &report.plan.servers {
            for &callers in &report.plan.callers {
                for &contender in &report.plan.contenders {
                    let numbers = throughput::Numbers {
                        cycles_per_second: (self.cycles_per_second)(contender, servers, callers, repeat),
                        cycle_p50: 0.0,
                        cycle_p99: 0.0,
                        lock_p50: 0.0,
                        lock_p99: 0.0,
                        cpu_per_cycle: 0.0,
                        allocations_per_cycle: 0.0,
                        failed: 0,
                    };
                    report.throughput.push(throughput::Sample {
                        contender,
                        servers,
                        callers,
                        repeat,
                        numbers,
                    });
                }
            }
        }
    }

    fn add_frozen(&self, report: &mut Report<'_>) {
        for demand in DEMANDS {
            for contender in report.plan.peers() {
                let phase = |frozen| {
                    let latency = |quantile| (self.latency)(contender, demand, frozen, quantile);
                    Phase {
                        p50: latency(0.5),
                        p90: latency(0.9),
                        p99: latency(0.99),
                        p999: latency(0.999),
                        max: latency(1.0),
                        locks_per_second: 0.0,
                        failed: 0,
                    }
                };
                report.frozen.push(frozen::Sample {
                    contender,
                    demand,
                    healthy: phase(false),
                    just_frozen: phase(true),
                    noticing: phase(true),
                    settled: phase(true),
                    frozen: phase(true),
                });
            }
        }
    }

    fn add_turns(&self, report: &mut Report<'_>, repeat: usize) {
        for crew in turns::CREWS {
            for contender in report.plan.waiting() {
                let numbers = turns::Numbers {
                    turns_per_second: 0.0,
                    hand_overs_per_second: (self.hand_overs_per_second)(contender, crew),
                    longest_wait: 0.0,
                    least_share: 0.0,
                    greatest_share: 0.0,
                    failed: 0,
                };
                report.contention.turns.push(turns::Sample {
                    contender,
                    crew,
                    repeat,
                    numbers,
                });
            }
        }
    }
}

fn draw(report: &Report<'_>) -> Vec<(&'static str, Picture)> {
    let pictures = report.pictures().expect("they can be drawn");
    let inspected = pictures.iter().map(|(name, svg)| (*name, Picture::of(svg)));
    inspected.collect()
}

#[test]
fn every_contender_and_every_number_is_on_the_picture() {
    let plan = plan(&["all", "--repeats", "3"]);
    let report = USUAL.report(&plan);
    let [(_, throughput), (_, frozen), (_, hand_overs)] = &*draw(&report) else {
        panic!("there are three pictures");
    };
    for name in Name::ALL {
        // Once for each number of callers.
        assert_eq!(throughput.times(&name.to_string()), 3, "{name}");
        for servers in [1, 3, 5] {
            for callers in [1, 64, 512] {
                let median = (USUAL.cycles_per_second)(name, servers, callers, 1);
                assert!(throughput.says(&grouped(median, 0)), "{median}");
            }
        }
    }
    for name in plan.peers() {
        // Once for each demand.
        assert_eq!(frozen.times(&name.to_string()), 2, "{name}");
    }
    // At rslock's points, for each demand and percentile.
    assert_eq!(frozen.times("500"), 10);
    for number in ["10,598", "89.0", "8,141", "171"] {
        assert!(hand_overs.says(number), "{number}");
    }
}

#[test]
fn a_picture_says_when_and_where_it_was_measured() {
    let plan = plan(&["all", "--seconds", "4", "--repeats", "3"]);
    let report = USUAL.report(&plan);
    for (name, picture) in draw(&report) {
        let prose = picture.prose();
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
fn the_same_numbers_make_the_same_picture() {
    let plan = plan(&["all", "--repeats", "2"]);
    let pictures = || USUAL.report(&plan).pictures().expect("they can be drawn");
    assert_eq!(pictures(), pictures());
}

#[test]
fn a_picture_fits_a_readme_and_no_text_covers_another() {
    let plan = plan(&["all", "--repeats", "2"]);
    for (name, picture) in draw(&USUAL.report(&plan)) {
        assert!(picture.width <= 820.0 && picture.height <= 820.0, "{name}");
        assert_eq!(picture.collisions(), [], "{name}");
    }
}

#[test]
fn what_was_not_measured_is_not_drawn() {
    let plan = plan(&["all"]);
    assert_eq!(draw(&Report::new(&plan)).len(), 0);
    let mut report = USUAL.report(&plan);
    report.throughput.clear();
    report
        .contention
        .turns
        .retain(|sample| sample.contender != Name::Rslock);
    let [(_, frozen), (_, hand_overs)] = &*draw(&report) else {
        panic!("there are two pictures");
    };
    assert!(frozen.says("rslock"));
    assert_eq!(hand_overs.times("not measured"), turns::CREWS.len());
}

#[test]
fn one_number_alone_has_a_picture() {
    let plan = plan(&[
        "all",
        "--repeats",
        "1",
        "--servers",
        "3",
        "--callers",
        "8",
        "--contender",
        "rslock",
    ]);
    assert_eq!(draw(&USUAL.report(&plan)).len(), 3);
}

#[test]
fn many_servers_and_callers_make_a_larger_picture() {
    let plan = plan(&[
        "all",
        "--servers",
        "1,2,3,4,5,6,7,8,9",
        "--callers",
        "1,2,4,8,16,32,64,128",
    ]);
    let pictures = draw(&USUAL.report(&plan));
    let (_, throughput) = &pictures[0];
    assert!(throughput.width > 820.0 && throughput.height > 820.0);
    assert_eq!(throughput.collisions(), []);
}

#[test]
fn numbers_of_any_size_stay_within_the_picture() {
    for size in [0.0, f64::MIN_POSITIVE, 1e-9, 1.0, 1e9, 1e18, 1e300] {
        let plan = plan(&["all", "--repeats", "2"]);
        let mut report = USUAL.report(&plan);
        for sample in &mut report.throughput {
            sample.numbers.cycles_per_second *= size;
        }
        for sample in &mut report.frozen {
            sample.frozen.p99 *= size;
            sample.healthy.p50 *= size;
        }
        for sample in &mut report.contention.turns {
            sample.numbers.hand_overs_per_second *= size;
        }
        assert_eq!(draw(&report).len(), 3, "{size}");
    }
}
