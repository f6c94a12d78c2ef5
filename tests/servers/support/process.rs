//! A second process of our own.

use std::process::{Child, Command, ExitStatus, Stdio};

use super::ms;
use super::wait::finishes;

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

    pub(crate) async fn ends(&mut self) -> ExitStatus {
        finishes("the second process", async {
            loop {
                if let Some(status) = self.0.try_wait().expect("the process is our child") {
                    return status;
                }
                tokio::time::sleep(ms(5)).await;
            }
        })
        .await
    }
}

impl Drop for SecondProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
