//! `multiredlock completions` and `multiredlock man`.

use crate::{
    description,
    exit::{self, Failure},
    output::Output,
};
use clap::Args;
use clap_complete::Shell;
use std::{fs, path::PathBuf};

/// Prints completions for a shell
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  multiredlock completions bash > /etc/bash_completion.d/multiredlock")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the man page, or writes one for each command
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  multiredlock man | man -l -
  multiredlock man --dir /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Writes multiredlock.1 and one page for each command into this folder
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

impl Completions {
    pub(crate) fn execute(&self, output: &Output) -> Result<u8, Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut description(), "multiredlock", &mut text);
        let text = String::from_utf8_lossy(&text);
        output.result(&text, || text.to_string())?;
        Ok(0)
    }
}

impl Man {
    pub(crate) fn execute(&self, output: &Output) -> Result<u8, Failure> {
        if let Some(dir) = &self.dir {
            fs::create_dir_all(dir)
                .and_then(|()| clap_mangen::generate_to(description(), dir))
                .map_err(|error| Failure::new(exit::IO, format!("{}: {error}", dir.display())))?;
            return Ok(0);
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(description())
            .render(&mut page)
            .map_err(|error| Failure::new(exit::SOFTWARE, format!("the man page: {error}")))?;
        let page = String::from_utf8_lossy(&page);
        output.result(&page, || page.to_string())?;
        Ok(0)
    }
}
