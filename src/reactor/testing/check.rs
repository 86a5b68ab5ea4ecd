//! The reactor's own rules, asserted from outside between turns. See "Rules that the simulator checks every turn" in
//! `docs/architecture.md`; those that concern calls and events are the simulated kernel's to notice.

use crate::reactor::Reactor;
use crate::reactor::link::flag::{FILED, QUEUED, REAPING};
use crate::reactor::link::{Connect, Link, NONE, Phase};
use crate::reactor::sys::Sys;

impl<S: Sys> Reactor<S> {
    /// Asserts, between two turns, that the reactor keeps its rules, and gives the number of sockets that it holds:
    ///
    /// - a connection that can do something is queued, and one that has ended is about to be reaped;
    /// - each deadline is filed, at its time or earlier, so that none can be missed;
    /// - connections, sockets, files, dials and closing records belong to each other one to one.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn check(&self) -> usize {
        for (slot, link) in &self.core.links {
            self.check_runnable(slot as u32, link);
            self.check_deadline(slot as u32, link);
        }
        self.check_books();
        self.sockets.iter().flatten().count()
    }

    fn check_runnable(&self, slot: u32, link: &Link) {
        let view = self.core.resting_view(slot);
        if link.is_done() {
            assert!(
                link.has(REAPING) && self.core.reaping.contains(&slot),
                "a connection that has ended is not reaped: {link:?}"
            );
            return;
        }
        let step = link.next(view);
        assert!(
            step.is_none() || link.has(QUEUED),
            "runnable but not queued: {step:?} of {link:?}, {view:?}"
        );
        assert!(
            !link.has(QUEUED) || self.core.queue.contains(&slot),
            "marked as queued but not in the queue: {link:?}"
        );
    }

    fn check_deadline(&self, slot: u32, link: &Link) {
        let timeouts = &self.core.services[link.service as usize].timeouts;
        let now = self.core.now.ms();
        // A queued connection files its deadline when it has been driven.
        let Some(at) = link.deadline(timeouts, now).filter(|_| !link.has(QUEUED | REAPING)) else { return };
        assert!(link.has(FILED), "its deadline, {at} ms, is not filed: {link:?}");
        let filed = self.core.wheel.filed(slot);
        assert_eq!(filed, Some(link.filed), "the wheel disagrees with {link:?}");
        assert!(at.wrapping_sub(link.filed) as i32 >= 0, "filed too late, at {filed:?} for {at}: {link:?}");
    }

    fn check_books(&self) {
        let links = &self.core.links;
        let count = |test: fn(&Link) -> bool| links.iter().filter(|(_, link)| test(link)).count();
        let by_service: usize = self.core.services.iter().map(|s| s.count as usize).sum();
        assert_eq!(by_service, links.len(), "connections are counted wrongly");
        assert_eq!(self.core.closings.len(), count(|l| l.closing != NONE), "closing records are lost");
        assert_eq!(self.core.files.len(), count(Link::has_file), "files on their way are lost");
        let is_dial = |l: &Link| l.side != NONE && matches!(l.phase, Phase::Connect(_));
        assert_eq!(self.core.dials.len(), count(is_dial), "dials are lost");
        for (slot, socket) in self.sockets.iter().enumerate() {
            assert!(socket.is_none() || links.contains(slot), "a socket without a connection in slot {slot}");
        }
        for (slot, link) in links {
            let needs = !link.is_done() && link.phase != Phase::Connect(Connect::Dial);
            let has = self.sockets.get(slot).is_some_and(Option::is_some);
            assert!(has || !needs, "a connection without a socket: {link:?}");
        }
    }
}
