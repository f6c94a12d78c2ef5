//! A request that starts when it is first polled.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// The parameters of a request until it is first polled, and what runs from then on.
pub(crate) enum Deferred<P, T> {
    New(Option<P>),
    Running(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<P, T> Deferred<P, T> {
    pub(crate) fn new(parameters: P) -> Self {
        Self::New(Some(parameters))
    }

    /// The parameters, as long as the request was not polled.
    pub(crate) fn get(&self) -> Option<&P> {
        match self {
            Self::New(parameters) => parameters.as_ref(),
            Self::Running(_) => None,
        }
    }

    /// The parameters, to change them.
    ///
    /// # Panics
    ///
    /// If the request was polled: the change would have no effect.
    pub(crate) fn parameters(&mut self) -> &mut P {
        match self {
            Self::New(Some(parameters)) => parameters,
            _ => panic!("a request cannot be adjusted after it was polled"),
        }
    }

    /// The parameters, to run the request in another way.
    ///
    /// # Panics
    ///
    /// If the request was polled.
    pub(crate) fn into_parameters(self) -> P {
        match self {
            Self::New(Some(parameters)) => parameters,
            _ => panic!("a request cannot be adjusted after it was polled"),
        }
    }

    pub(crate) fn poll<F>(&mut self, cx: &mut Context<'_>, start: impl FnOnce(P) -> F) -> Poll<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        if let Self::New(parameters) = self
            && let Some(parameters) = parameters.take()
        {
            *self = Self::Running(Box::pin(start(parameters)));
        }
        match self {
            Self::Running(running) => running.as_mut().poll(cx),
            Self::New(_) => unreachable!("it was started"),
        }
    }
}
