//! Counts and measures nothing, in place of `metrics`.

use std::time::Duration;

pub(crate) fn round(_: &'static str, _: &'static str) {}

pub(crate) fn lock(_: &'static str, _: Duration) {}

pub(crate) fn wait(_: &'static str, _: Duration) {}

pub(crate) fn renewal(_: &'static str) {}

pub(crate) fn loss(_: &'static str) {}

pub(crate) fn server(_: usize, _: bool) {}

pub(crate) fn batch(_: usize) {}
