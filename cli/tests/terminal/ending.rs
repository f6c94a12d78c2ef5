//! How `run` ends a command whose lock is lost.

use crate::{
    common::{Folder, multiredlock, servers, start},
    run::{Written, ends, forget_all, text},
};
use std::collections::BTreeMap;

#[test]
fn each_process_is_asked_to_end_once() {
    let servers = servers(3);
    let folder = Folder::new();
    let log = folder.path("log");
    // Four processes of the group, and one that left it.
    let counts = format!("trap 'echo $1 TERM >> {log}' TERM; echo $1 up >> {log}; while :; do sleep 0.01; done");
    let file = folder.path("counts");
    std::fs::write(&file, counts).unwrap();
    let script = format!("for i in 1 2 3; do sh {file} $i & done; setsid sh {file} 4 & . {file}");
    let arguments = [
        "run", "r", "--ttl", "6s", "--grace", "1s", "--", "sh", "-c", &script, "sh", "5",
    ];
    let mut child = start(&multiredlock(&servers, &arguments));
    folder.lines("log", 5);
    forget_all(&servers);
    assert_eq!(ends(&mut child).code(), Some(79), "{}", text(child.stderr.take()));
    let mut signals = BTreeMap::new();
    for line in folder.lines("log", 10) {
        *signals.entry(line).or_insert(0) += 1;
    }
    let once = (1..=5).flat_map(|i| [(format!("{i} TERM"), 1), (format!("{i} up"), 1)]);
    assert_eq!(signals, once.collect());
}
