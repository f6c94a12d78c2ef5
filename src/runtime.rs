//! Where the tasks of a client run: on the runtime that it was built in, or in a simulation.

use std::future::Future;
use tokio::{
    runtime::{Handle, TryCurrentError},
    task::AbortHandle,
};

/// A blocking call was made inside a tokio runtime, whose tasks it would stop. Only calls of the module `blocking` return it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a blocking call inside a tokio runtime would stop its tasks; use the async client there, or `spawn_blocking`")]
pub struct InsideRuntime;

#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    handle: Handle,
    #[cfg(test)]
    simulated: Option<crate::simulation::Process>,
}

/// A task that goes on when this is dropped.
#[derive(Debug)]
pub(crate) enum Task {
    Spawned(AbortHandle),
    #[cfg(test)]
    Simulated(crate::simulation::Task),
}

impl Runtime {
    pub(crate) fn current() -> Result<Self, TryCurrentError> {
        Ok(Self {
            handle: Handle::try_current()?,
            #[cfg(test)]
            simulated: crate::simulation::Process::current(),
        })
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Task {
        #[cfg(test)]
        if let Some(process) = self.simulated {
            return Task::Simulated(process.spawn(task));
        }
        Task::Spawned(self.handle.spawn(task).abort_handle())
    }
}

impl Task {
    pub(crate) fn abort(&self) {
        match self {
            Self::Spawned(task) => task.abort(),
            #[cfg(test)]
            Self::Simulated(task) => task.abort(),
        }
    }
}
