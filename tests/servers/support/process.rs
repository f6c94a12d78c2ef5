//! A second process of our own.

use std::process::{Child, Command, ExitStatus, Stdio};

use super::ms;

/// This program once more, running a single test, and killed on drop.
#[derive(Debug)]
pub(crate) struct SecondProcess(Child);

impl SecondProcess {
    /// Starts the test of this name, which finds these settings in its environment.
    pub(crate) fn run(test: &str, settings: &[(&str, &str)]) -> Self {
        let this_program = std::env::current_exe().expect("the system knows what it runs");
        let child = Command::new(this_program)
            .args(["--exact", test, "--nocapture"])
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("what runs can be run again"))
    }

    /// Waits for longer than for anything else, since one process may go through several floods of a server.
    pub(crate) async fn ends(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(ms(120_000), async {
            loop {
                if let Some(status) = self.0.try_wait().expect("the process is our child") {
                    return status;
                }
                tokio::time::sleep(ms(5)).await;
            }
        });
        ended.await.expect("the second process ends")
    }
}

impl Drop for SecondProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs this test in a process of its own.
pub(crate) async fn alone<F: AsyncFnOnce()>(test: F) {
    const SIGN: &str = "MULTIREDLOCK_TEST_ALONE";
    if let Some(sign) = std::env::var_os(SIGN) {
        test().await;
        std::fs::remove_file(sign).expect("it is there until a test has passed");
        return;
    }
    // What is handed over is part of the test's function, and named after it.
    let place = std::any::type_name::<F>();
    let name = place.split("::").skip(1).take_while(|part| !part.starts_with('{'));
    let name = name.collect::<Vec<_>>().join("::");
    let sign = std::env::temp_dir().join(format!("{}-{}", std::process::id(), name.replace("::", "-")));
    std::fs::write(&sign, "").expect("the folder for temporary files is writable");
    let mut process = SecondProcess::run(&name, &[(SIGN, sign.to_str().expect("it is plain"))]);
    let status = process.ends().await;
    assert!(status.success() && !sign.exists(), "{name}: {status}");
}

/// What Linux says of the memory of this process, in bytes.
pub(crate) fn memory(field: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: usize = line.trim_matches([':', ' ', '\t']).strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}
