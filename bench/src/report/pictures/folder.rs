//! Where pictures go.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    process,
};

use crate::Result;

/// A folder that could be written when it was opened.
pub struct Folder(PathBuf);

impl Folder {
    /// Creates the folder if it is missing. Whoever measures for half an hour wants to know beforehand that the pictures
    /// have a place.
    pub fn open(path: PathBuf) -> Result<Self> {
        let probe = path.join(format!(".bench-{}", process::id()));
        fs::create_dir_all(&path)
            .and_then(|()| File::create_new(&probe))
            .and_then(|_| fs::remove_file(&probe))
            .map_err(|error| refusal(&path.display(), &error))?;
        Ok(Self(path))
    }

    pub(super) fn write(&self, name: &str, svg: &str) -> Result<()> {
        let file = self.0.join(name);
        Ok(fs::write(&file, svg).map_err(|error| refusal(&file.display(), &error))?)
    }
}

fn refusal(path: &dyn std::fmt::Display, error: &io::Error) -> String {
    format!("could not write to `{path}`: {error}")
}
