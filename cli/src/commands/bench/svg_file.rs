//! The file of a picture, which is known to be writable before anything is measured for it.

use crate::exit::{self, Failure};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A file that is as it was until the picture is written; one that was not there is removed if that never happens.
#[derive(Debug)]
pub(super) struct SvgFile {
    path: PathBuf,
    file: File,
    is_temporary: bool,
}

impl SvgFile {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.write(true);
        let (opened, is_temporary) = match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (options.open(path), false),
            opened => (opened, true),
        };
        Ok(Self {
            path: path.into(),
            file: opened.map_err(|error| failure(path, &error))?,
            is_temporary,
        })
    }

    /// Replaces what is in it.
    pub(super) fn write(mut self, picture: &str) -> Result<(), Failure> {
        let write = |file: &mut File| {
            // Only of a file something could be left of what was there.
            if file.metadata()?.is_file() {
                file.set_len(0)?;
            }
            file.write_all(picture.as_bytes())
        };
        write(&mut self.file).map_err(|error| failure(&self.path, &error))?;
        self.is_temporary = false;
        Ok(())
    }
}

impl Drop for SvgFile {
    fn drop(&mut self) {
        if self.is_temporary {
            // Whoever removed it before was quicker.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::new(exit::IO, format!("{}: {error}", path.display()))
}
