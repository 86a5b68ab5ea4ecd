//! The reactor's rules, asserted between turns by the simulator's tests. Nothing here runs in a release.

use super::Reactor;
use super::link::flag::*;
use super::link::{Connect, NONE, Phase, Teardown};
use super::sys::Sys;

impl<S: Sys> Reactor<S> {
    /// Asserts the rules that hold between turns:
    ///
    /// - runnable ⇒ queued, and a connection that is not runnable has its earliest deadline filed;
    /// - a connection without a deadline waits for its handler, or its service switched deadlines off;
    /// - open sockets = used slots (but for connects not yet issued);
    /// - side tables hold exactly what links name; services count exactly their connections;
    /// - every watch has its descriptor and its callback, and is listed exactly where it says;
    /// - no buffer block is held by a connection without bytes in flight;
    /// - every task is in the one place from which it comes to its end, and nobody waits for what there is.
    ///
    /// # Panics
    /// When one of them is broken, with the connection's state.
    pub fn check(&mut self) {
        self.core.check_tasks();
        self.core.check_fetches();
        #[cfg(feature = "async")]
        self.check_futures();
        let now = self.core.now.ms();
        let (mut ios, mut closings, mut sides) = (0, 0, 0);
        for (slot, link) in &self.core.links {
            let (slot, id) = (slot as u32, link.id(slot as u32));
            let state = || format!("{id}: {link:?}");
            let view = self.core.resting_view(slot);
            let queued = link.has(QUEUED) || link.has(REAPING);
            assert!(link.next(view).is_none() || queued, "runnable but not queued, {}", state());
            assert_eq!(
                link.has(QUEUED),
                self.core.queue.contains(&slot),
                "the queue and its mark disagree, {}",
                state()
            );
            let socket = self.sockets.get(slot as usize).is_some_and(Option::is_some);
            let dialling = link.phase == Phase::Connect(Connect::Dial);
            assert!(socket || dialling || link.is_done(), "no socket, {}", state());
            let t = &self.core.services[link.service as usize].timeouts;
            let deadline = link.deadline(t, now);
            if let Some(at) = deadline.filter(|_| !queued) {
                let late = link.filed.wrapping_sub(at) as i32 > 0;
                assert!(link.has(FILED) && !late, "deadline {at} is not filed, {}", state());
            }
            assert_eq!(link.has(FILED), self.core.wheel.filed(slot).is_some(), "{}", state());
            let off = t.idle.is_none() || t.stall.is_none() || t.connect.is_none();
            let waits_for_us = link.has(PAUSED | BUSY) || off;
            assert!(deadline.is_some() || queued || waits_for_us, "no deadline, {}", state());
            ios += usize::from(link.io != NONE);
            closings += usize::from(link.closing != NONE);
            sides += usize::from(link.side != NONE);
            assert!(
                link.closing != NONE || !matches!(link.phase, Phase::Teardown(_)),
                "no reason, {}",
                state()
            );
            if link.io != NONE && !queued {
                assert!(view.rx > 0 || view.tx > 0, "an idle block, {}", state());
            }
            if matches!(link.phase, Phase::Teardown(Teardown::Linger)) {
                assert_eq!(view.tx, 0, "bytes behind the FIN, {}", state());
            }
        }
        let open = self.sockets.iter().flatten().count();
        assert!(open <= self.core.links.len(), "{open} sockets, {} links", self.core.links.len());
        assert_eq!(self.core.side_counts(), (ios, closings, sides));
        let counted: usize = self.core.services.iter().map(|s| s.count as usize).sum();
        assert_eq!(counted, self.core.links.len());
        assert_eq!(self.core.driving, NONE);
        assert!(self.core.spent.is_empty());
        let open = |slot: u32| self.watched.get(slot as usize).is_some_and(Option::is_some);
        self.core.watches.check(open);
        assert_eq!(self.watched.iter().flatten().count(), self.watches());
    }
}
