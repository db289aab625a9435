//! A SQLite file of the data directory, seen from outside: who may read it, whether it is still the one that was
//! opened, and where it goes when it cannot be used. In WAL mode SQLite asks none of this itself.
//!
//! Nothing here opens a file that may be in use: closing it would drop the locks that SQLite holds on it.

use std::ffi::OsString;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// What SQLite keeps beside its file.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Readable and writable for the owner, for nobody else.
const PRIVATE: u32 = 0o600;

/// What others may do.
const OTHERS: u32 = 0o077;

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

/// A file as it is now. Two that are equal were not written to in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Which file.
    pub identity: Identity,
    /// How long it is.
    pub bytes: u64,
    /// When it was last written to or renamed, in seconds and nanoseconds; nobody can set it.
    changed: (i64, i64),
}

/// What lies at a path; `None` if nothing does.
///
/// # Errors
/// What the system says.
pub fn look(path: &Path) -> io::Result<Option<Sight>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(Sight {
            identity: Identity {
                device: found.dev(),
                inode: found.ino(),
            },
            bytes: found.len(),
            changed: (found.ctime(), found.ctime_nsec()),
        })),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(error),
        },
    }
}

/// The path of one of SQLite's other files.
#[must_use]
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes the file if it is not there, for its owner only, and its folder; says whether it was made.
///
/// # Errors
/// What the system says.
pub fn make(path: &Path) -> io::Result<bool> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(path);
    match made {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::metadata(path) {
            Ok(found) if !found.is_file() => Err(io::Error::other("what is there is no file")),
            _ => Ok(false),
        },
        Err(error) => Err(error),
    }
}

/// Takes from others what they may do with the file and those beside it; gives which were open to them.
///
/// # Errors
/// When they stay open to others: the file is somebody else's, or its file system keeps no modes.
pub fn keep_private(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut tightened = Vec::new();
    let files = COMPANIONS.map(|suffix| beside(path, suffix));
    for file in std::iter::once(path).chain(files.iter().map(PathBuf::as_path)) {
        if !is_open_to_others(file)? {
            continue;
        }
        fs::set_permissions(file, Permissions::from_mode(PRIVATE))?;
        if is_open_to_others(file)? {
            return Err(io::Error::other("its file system keeps no modes"));
        }
        tightened.push(file.to_owned());
    }
    Ok(tightened)
}

fn is_open_to_others(file: &Path) -> io::Result<bool> {
    match fs::metadata(file) {
        Ok(found) => Ok(found.permissions().mode() & OTHERS != 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The files beside one that is open, to be told from those of another that takes its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Companions {
    wal: Option<Identity>,
    shm: Option<Identity>,
}

impl Companions {
    /// Those at a path now.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let which = |suffix| {
            let found = look(&beside(path, suffix)).ok().flatten();
            found.map(|sight| sight.identity)
        };
        Self {
            wal: which("-wal"),
            shm: which("-shm"),
        }
    }

    /// Another file has taken the place of theirs: if they are still there they would be read into it. What is in the
    /// log is kept under another name, which is given back.
    ///
    /// # Errors
    /// What the system says; the other file must not be opened then.
    pub fn clear(self, path: &Path, now: i64) -> io::Result<Option<PathBuf>> {
        let mut kept = None;
        let (wal, shm) = (beside(path, "-wal"), beside(path, "-shm"));
        if let Some(found) = look(&wal)?
            && Some(found.identity) == self.wal
        {
            if found.bytes > 0 {
                let aside = free_name(&wal, "left", now);
                fs::rename(&wal, &aside)?;
                kept = Some(aside);
            } else {
                fs::remove_file(&wal)?;
            }
        }
        if let Some(found) = look(&shm)?
            && Some(found.identity) == self.shm
        {
            fs::remove_file(&shm)?;
        }
        Ok(kept)
    }
}

/// Gives the file another name, those beside it too, unless another process has done so meanwhile: `None` then. The
/// name tells `why` and when, in seconds since the epoch.
///
/// # Errors
/// What the system says; another process may be at it.
pub fn put_aside(path: &Path, found: Identity, why: &str, now: i64) -> io::Result<Option<PathBuf>> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let door = fs::File::open(folder)?;
    door.try_lock()?;
    if look(path)?.map(|sight| sight.identity) != Some(found) {
        return Ok(None);
    }
    let aside = free_name(path, why, now);
    // The file goes last: a log that stayed behind would be read into the next one.
    for suffix in COMPANIONS {
        let companion = beside(path, suffix);
        if look(&companion)?.is_some() {
            fs::rename(&companion, beside(&aside, suffix))?;
        }
    }
    fs::rename(path, &aside)?;
    Ok(Some(aside))
}

fn free_name(path: &Path, why: &str, now: i64) -> PathBuf {
    let mut name = beside(path, &format!(".{why}-{now}"));
    let mut number = 1;
    while name.exists() {
        number += 1;
        name = beside(path, &format!(".{why}-{now}.{number}"));
    }
    name
}

/// Removes what was put aside for one of the reasons longer than `seconds` ago; gives how many files that were.
///
/// # Errors
/// What the system says.
pub fn drop_old(path: &Path, reasons: &[&str], now: i64, seconds: i64) -> io::Result<u64> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|it| it.to_str()))
    else {
        return Ok(0);
    };
    let mut dropped = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let since = entry
            .file_name()
            .to_str()
            .and_then(|found| put_aside_at(found.strip_prefix(name)?, reasons));
        if since.is_some_and(|since| since + seconds <= now) {
            fs::remove_file(entry.path())?;
            dropped += 1;
        }
    }
    Ok(dropped)
}

/// When a file was put aside, by what follows the name: `.damaged-1764355000`, `-wal.left-1764355000.2`.
fn put_aside_at(rest: &str, reasons: &[&str]) -> Option<i64> {
    let (_, rest) = rest.split_once('.')?;
    let (reason, rest) = rest.split_once('-')?;
    let digits = rest.find(|it: char| !it.is_ascii_digit());
    let seconds = &rest[..digits.unwrap_or(rest.len())];
    reasons.contains(&reason).then(|| seconds.parse().ok())?
}

/// Moves what is in the log into the file and leaves the log empty; false if somebody reads or writes meanwhile. To be
/// asked between two transactions.
///
/// # Errors
/// SQLite's.
pub fn empty_log(connection: &Connection) -> rusqlite::Result<bool> {
    let busy: i64 =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_when_its_file_was_put_aside() {
        let reasons = ["damaged", "left"];
        for (rest, since) in [
            (".damaged-1764355000", Some(1_764_355_000)),
            (".damaged-1764355000-wal", Some(1_764_355_000)),
            (".damaged-1764355000.2", Some(1_764_355_000)),
            ("-wal.left-17", Some(17)),
            ("", None),
            ("-wal", None),
            (".damaged-", None),
            (".mine-1764355000", None),
            (".damaged", None),
        ] {
            assert_eq!(put_aside_at(rest, &reasons), since, "{rest}");
        }
    }
}
