//! The commands, one file or folder each.

mod bench;
mod doctor;
mod generate;
mod lock;
mod renew;
pub(crate) mod run;
mod status;
mod unlock;
mod watch;

use crate::{
    exit::{self, Failure},
    output::Output,
    settings::Connection,
};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(run::Run),
    Lock(lock::Lock),
    Renew(renew::Renew),
    Unlock(unlock::Unlock),
    Status(status::Status),
    Watch(watch::Watch),
    Doctor(doctor::Doctor),
    Bench(bench::Bench),
    Completions(generate::Completions),
    Man(generate::Man),
}

/// Does what was asked for, and returns the exit code if that is not a failure.
pub(crate) fn execute(command: Command, connection: &Connection, output: &Output) -> Result<u8, Failure> {
    let settings = match &command {
        Command::Completions(completions) => return completions.execute(output),
        Command::Man(man) => return man.execute(output),
        _ => connection.settings()?,
    };
    // One thread is enough, and the signal that ends a command when its parent dies is bound to the thread that started it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::SOFTWARE, format!("no runtime: {error}")))?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Run(run) => run.execute(&settings, output).await,
            Command::Lock(lock) => lock.execute(&settings, output).await,
            Command::Renew(renew) => renew.execute(&settings, output).await,
            Command::Unlock(unlock) => unlock.execute(&settings, output).await,
            Command::Status(status) => status.execute(&settings, output).await,
            Command::Watch(watch) => watch.execute(&settings, output).await,
            Command::Doctor(doctor) => doctor.execute(&settings, output).await,
            Command::Bench(bench) => bench.execute(&settings, output).await,
            Command::Completions(_) | Command::Man(_) => Ok(0),
        }
    });
    // A name that is still being resolved, which nobody waits for, would keep us for as long as that takes.
    runtime.shutdown_background();
    outcome
}
