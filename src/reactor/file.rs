//! Files on their way to peers, and the reading ahead that keeps a slow disk from stopping the loop.
//!
//! `sendfile` waits for pages that are not in memory, and no flag of it changes that. So before a slice goes out the
//! kernel is asked whether it is there ([`Sys::file_presence`](super::sys::Sys::file_presence)). When it is not, a thread
//! of the pool reads it in, and the connection waits meanwhile as it would for a blocked socket: its link is
//! [`AWAY`](super::link::flag::AWAY), and everything else goes on. Owns the side table of files and what is being read;
//! never sends by itself.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use slab::Slab;

use super::close;
use super::core::Core;
use super::handle::Remote;
use super::id::ConnId;
#[cfg(any(test, feature = "testing"))]
use super::link::NONE;
use super::link::Phase;
use super::link::flag::*;
use super::service::contain;
use super::sys::{Presence, read_ahead};
use super::workers::JobId;

/// How much of a file one job reads in. Some slices' worth, so that a thread is asked for a fraction of them; little
/// enough that thousands of slow readers do not push one another's pages out.
const AHEAD: u64 = 2 << 20;

/// A file on its way to a peer.
pub(crate) struct FileSend {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    pub(crate) left: u64,
    /// Bytes of tx that go first.
    pub(crate) before: usize,
    /// Up to here its bytes are in memory, or were a moment ago.
    here_to: u64,
    /// The kernel can tell what is in memory.
    tells: bool,
    job: Option<JobId>,
}

/// What a thread has read in.
pub(crate) struct Fetched {
    conn: ConnId,
    round: u32,
    /// Up to where the bytes are in memory now, or the error number.
    outcome: Result<u64, i32>,
}

/// What is being read, and who waits for his turn.
#[derive(Default)]
pub(crate) struct Fetches {
    under_way: usize,
    /// Those whom the pool refused. Whatever has been read makes room for the next.
    refused: VecDeque<ConnId>,
    /// Which round of the pool this is: what an earlier one has read does not count.
    round: u32,
}

impl FileSend {
    /// How many of the next `max` bytes can go out; 0 when they have to be read in first.
    pub(crate) fn sendable(&mut self, max: usize, presence: impl FnOnce(&File, u64) -> Presence) -> usize {
        let known = usize::try_from(self.here_to.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        if known > 0 {
            return max.min(known);
        }
        match presence(&self.file, self.offset) {
            Presence::Here => {
                self.tells = true;
                self.here_to = self.offset.saturating_add(max as u64);
                max
            }
            Presence::Away => {
                self.tells = true;
                0
            }
            Presence::Unknown => 0,
        }
    }

    /// The peer keeps its bytes waiting: what is in memory now may be gone when it goes on. Where the kernel cannot tell,
    /// reading everything in again for each of a slow peer's windows would cost more than it saves.
    pub(crate) fn blocked(&mut self) {
        if self.tells {
            self.here_to = self.offset;
        }
    }
}

impl Core {
    /// Begins to send a part of a file behind what is in tx.
    pub(crate) fn send_file(
        &mut self,
        slot: u32,
        file: Arc<File>,
        range: Range<u64>,
        tx_len: usize,
    ) -> Result<(), Arc<File>> {
        let link = &mut self.links[slot as usize];
        if !link.tx_open() || !matches!(link.phase, Phase::Transfer { .. }) {
            return Err(file);
        }
        let left = range.end.saturating_sub(range.start);
        if left == 0 {
            // Sent already: the handler hears so, and goes on with what it left unread.
            link.set(ROOM_DUE | DATA_DUE);
        } else {
            let (offset, before) = (range.start, tx_len);
            let send = FileSend { file, offset, left, before, here_to: offset, tells: false, job: None };
            link.side = self.files.insert(send) as u32;
        }
        self.enqueue(slot);
        Ok(())
    }

    /// Has a thread read the next bytes of the connection's file. False when there is no thread to be had, now or later:
    /// then sending has to wait for the disk by itself.
    pub(crate) fn fetch(&mut self, slot: u32) -> bool {
        let id = self.link(slot).id(slot);
        if self.begin_fetch(id) {
            return true;
        }
        if self.fetches.under_way > 0 {
            self.fetches.refused.push_back(id);
        }
        self.fetches.under_way > 0
    }

    fn begin_fetch(&mut self, conn: ConnId) -> bool {
        let side = self.link(conn.slot).side;
        let Some(send) = self.files.get_mut(side as usize) else { return false };
        let range = send.offset..send.offset.saturating_add(send.left.min(AHEAD));
        let (file, handle, round) = (Arc::clone(&send.file), self.handle.clone(), self.fetches.round);
        let job = Box::new(move |_: &dyn Fn() -> super::time::Time| {
            let outcome = contain(|| read_ahead(&file, range)).unwrap_or(Err(0));
            drop(file);
            handle.enter(Remote::Fetched(Fetched { conn, round, outcome }));
        });
        match self.workers.submit(job) {
            Ok(job) => {
                send.job = Some(job);
                self.fetches.under_way += 1;
                self.jobs += 1;
                true
            }
            // It holds a file that the connection holds as well, and a handle.
            Err(refused) => {
                drop(refused);
                false
            }
        }
    }

    /// A thread has read, or failed to.
    pub(crate) fn fetched(&mut self, fetched: &Fetched) {
        if fetched.round != self.fetches.round {
            return;
        }
        self.fetches.under_way -= 1;
        self.jobs -= 1;
        if let Some(slot) = self.slot(fetched.conn) {
            self.arrive(slot, fetched.outcome);
        }
        self.fetch_next();
    }

    /// Lets a connection go on whose bytes are here.
    fn arrive(&mut self, slot: u32, outcome: Result<u64, i32>) {
        let now = self.now;
        let link = &mut self.links[slot as usize];
        if !link.has(AWAY) {
            return;
        }
        link.clear(AWAY);
        link.wait_anew(now);
        if let Some(send) = self.files.get_mut(link.side as usize) {
            send.job = None;
            send.here_to = outcome.unwrap_or(send.here_to);
        }
        match outcome {
            Ok(_) => self.enqueue(slot),
            Err(errno) => self.fail(slot, &close::FILE_UNREADABLE, Some(errno).filter(|n| *n != 0), None),
        }
    }

    /// The pool has room, or will not have it for us: those that it refused are next.
    fn fetch_next(&mut self) {
        while let Some(conn) = self.fetches.refused.pop_front() {
            let Some(slot) = self.slot(conn).filter(|slot| self.links[*slot as usize].has(AWAY)) else {
                continue;
            };
            if self.begin_fetch(conn) {
                continue;
            }
            if self.fetches.under_way > 0 {
                self.fetches.refused.push_front(conn);
                return;
            }
            // Others have filled the pool, and nothing of ours will tell when there is room: wait for the disk.
            self.wait_itself(slot);
        }
    }

    /// The connection is no more: nobody needs what its file's job would read.
    pub(crate) fn forget_file(&mut self, side: u32) {
        let Some(send) = self.files.try_remove(side as usize) else { return };
        if let Some(job) = send.job.and_then(|job| self.workers.withdraw(job)) {
            drop(job);
            self.fetches.under_way -= 1;
            self.jobs -= 1;
            self.fetch_next();
        }
    }

    /// The pool has been shut down: what it gave back tells nobody.
    pub(crate) fn lose_fetches(&mut self) {
        self.fetches = Fetches { round: self.fetches.round.wrapping_add(1), ..Fetches::default() };
        let away = |(slot, link): (usize, &super::link::Link)| link.has(AWAY).then_some(slot as u32);
        for slot in self.links.iter().filter_map(away).collect::<Vec<_>>() {
            self.wait_itself(slot);
        }
    }

    /// Nobody reads for this connection: its next bytes are sent whether they are here or not.
    fn wait_itself(&mut self, slot: u32) {
        let side = self.links[slot as usize].side;
        let to = self.files.get(side as usize).map_or(0, |send| send.offset.saturating_add(AHEAD));
        self.arrive(slot, Ok(to));
    }

    /// What is being read is what links wait for.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check_fetches(&self) {
        for (_, link) in &self.links {
            let send = (link.side != NONE).then(|| self.files.get(link.side as usize)).flatten();
            let job = send.is_some_and(|send| send.job.is_some());
            let waits = self.fetches.refused.iter().any(|id| id.serial == link.serial);
            assert!(!link.has(AWAY) || link.is_done() || job || waits, "nobody reads for {link:?}");
        }
        assert!(self.fetches.refused.is_empty() || self.fetches.under_way > 0, "nobody makes room");
    }
}

/// Reads in bytes for others: the table's type.
pub(crate) type Files = Slab<FileSend>;
