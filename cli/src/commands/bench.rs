//! `multiredlock bench`.
use crate::{exit::Failure, output::Output, settings::Settings};
use clap::Args;
#[derive(Args, Debug)]
pub(crate) struct Bench {}
impl Bench {
    #[expect(clippy::unused_async)]
    pub(crate) async fn execute(self, _: &Settings, _: &Output) -> Result<u8, Failure> {
        Ok(0)
    }
}
