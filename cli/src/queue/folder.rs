//! The folder of the queues, which is private to the user.

use nix::{
    fcntl::{AT_FDCWD, AtFlags, OFlag, openat},
    libc,
    sys::stat::{FileStat, Mode, fstatat},
    unistd::{UnlinkatFlags, geteuid, unlinkat},
};
use std::{
    env,
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

/// A folder that nobody else can write to.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Files are opened relative to it, so that whatever the path means later makes no difference.
    folder: File,
}

impl Folder {
    /// Opens the folder of this user, in the first place where there can be one.
    pub(super) fn open() -> Option<Self> {
        let user = geteuid().as_raw();
        let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| {
            // A variable that another user's session left behind is no place for ours.
            path.is_absolute() && path.metadata().is_ok_and(|metadata| metadata.uid() == user)
        });
        let temporary = env::temp_dir().join(format!("multiredlock-{user}"));
        let runtime = runtime.map(|path| path.join("multiredlock"));
        let mut places = runtime.into_iter().chain([temporary]);
        places.find_map(|path| Self::at(&path, user).ok())
    }

    pub(super) fn at(path: &Path, user: u32) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        let folder = File::from(openat(AT_FDCWD, path, flags, Mode::empty())?);
        let metadata = folder.metadata()?;
        if metadata.uid() != user || metadata.mode() & 0o077 != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Self {
            path: path.into(),
            folder,
        })
    }

    /// Opens a file with further flags.
    pub(super) fn file(&self, name: &str, more: OFlag) -> io::Result<File> {
        // Without `O_NONBLOCK` a pipe of that name would hold us up.
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | more;
        let file = File::from(openat(&self.folder, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }

    /// What is there by that name.
    pub(super) fn state(&self, name: &str) -> Option<FileStat> {
        fstatat(&self.folder, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()
    }

    /// Removes a file. Processes that have it open keep what they have.
    pub(super) fn remove(&self, name: &str) {
        // Another process may have done it.
        let _ = unlinkat(&self.folder, name, UnlinkatFlags::NoRemoveDir);
    }

    /// The names of all files.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).into_iter().flatten();
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect()
    }
}

/// Whether two looks found the same file.
pub(super) fn is_same(one: &FileStat, other: &FileStat) -> bool {
    one.st_dev == other.st_dev && one.st_ino == other.st_ino && one.st_mode & libc::S_IFMT == libc::S_IFREG
}
