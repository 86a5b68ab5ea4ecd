//! What the tests of this service share. Only under `test`.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode};
use rustix::process::{Gid, Uid};

/// Runs `work` as a user without privileges on a thread of its own, whoever runs the tests. It fails when it cannot.
///
/// On Linux user and capabilities belong to the thread, and the calls below change them for the calling one alone.
pub(super) fn as_ordinary_user(work: impl FnOnce() + Send + 'static) {
    let run = move || {
        if rustix::process::geteuid().is_root() {
            let (nobody, nogroup) = (Uid::from_raw(65534), Gid::from_raw(65534));
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_res_gid(nogroup, nogroup, nogroup).unwrap();
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        assert!(!rustix::process::geteuid().is_root());
        work();
    };
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

pub(super) fn make_fifo(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
}

/// Seconds since 1970, far enough ahead that every file made in a test has settled.
pub(super) const LATER: u64 = 4_000_000_000;

/// Sets a file's mtime.
pub(super) fn set_mtime(path: &Path, sec: u64) {
    let file = std::fs::File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(sec)).unwrap();
}
