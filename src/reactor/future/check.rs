//! The rules of futures, asserted between turns by the simulator's tests. Nothing here runs in a release.

use super::local;
use super::state::SERVICE;
use crate::reactor::Reactor;
use crate::reactor::sys::Sys;
use crate::reactor::task::store::Work;

impl<S: Sys> Reactor<S> {
    /// Asserts that
    ///
    /// - every spawned future is a task and every task of a future has one, which is at home;
    /// - a stream has a holder or a connection, and a connection its stream;
    /// - what waits to be read pauses its connection;
    /// - who has fired is not filed, and who is filed has a waker;
    /// - nothing is left in the cell of the thread.
    pub(crate) fn check_futures(&self) {
        let core = &self.core;
        let futures = &core.futures;
        for (slot, spawn) in &futures.tasks {
            let task = core.tasks.get(spawn.id);
            let known = task.is_some_and(|t| matches!(t.work, Work::Future(at) if at as usize == slot));
            assert!(known, "a future without a task, {:?}", spawn.id);
            assert!(spawn.body.is_some(), "a future never came back from its poll, {:?}", spawn.id);
        }
        let tasks = core.tasks.ids().filter_map(|id| core.tasks.get(id));
        let count = tasks.filter(|task| matches!(task.work, Work::Future(_))).count();
        assert_eq!(count, futures.tasks.len(), "tasks and futures");
        for (index, stream) in &futures.streams {
            let link = core.slot(stream.id).map(|slot| &core.links[slot as usize]);
            assert!(stream.held != 0 || link.is_some(), "stream {index} has neither holder nor connection");
            assert_eq!(stream.report.is_none(), link.is_some(), "stream {index}: connection or report");
            if let Some(link) = link {
                assert_eq!(link.conn as usize, index, "the connection is another stream's");
                let paused = link.has(crate::reactor::link::flag::PAUSED) || !link.is_live();
                assert!(stream.rx.is_empty() || paused, "stream {index} reads on: {link:?}");
            }
            assert!(!stream.rx.is_empty() || !stream.rx.holds_block(), "stream {index}: an idle block");
        }
        for (slot, sleeper) in &futures.sleepers {
            let filed = futures.alarms.is_filed(slot as u32);
            assert_eq!(filed, sleeper.waker.is_some(), "sleeper {slot}");
        }
        assert_eq!(futures.alarms.len(), futures.sleepers.iter().filter(|(_, s)| s.waker.is_some()).count());
        assert_ne!(local::tag(), futures.tag, "the core was left in the cell");
        assert!(core.services[SERVICE as usize].count as usize <= futures.streams.len() + core.links.len());
    }

    /// Futures, values on their way, sleepers, streams and acceptors that are kept: what a test compares with nothing
    /// once everything is over.
    pub fn futures_kept(&self) -> [usize; 5] {
        let f = &self.core.futures;
        [f.tasks.len(), f.shots.len(), f.sleepers.len(), f.streams.len(), f.acceptors.len()]
    }
}
