//! [`watch`]: keeps the reports of a service whose handler keeps none, such as one that is not the test's own.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use crate::reactor::buffer::Io;
use crate::reactor::core::Core;
use crate::reactor::handler::Accepted;
use crate::reactor::link::Call;
use crate::reactor::service::Service;
use crate::reactor::sys::Sys;
use crate::reactor::{Handler, Key, Reactor, Refuse, Report, TaskReport};

/// Every [`Report`] that the handler of `key` is given from now on, in the order of the ends.
///
/// # Panics
/// When the key is of another reactor.
pub fn watch<S: Sys, H: Handler>(reactor: &mut Reactor<S>, key: Key<H>) -> Rc<RefCell<Vec<Report>>> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let at = usize::from(key.index);
    let inner = reactor.services.remove(at);
    reactor.services.insert(at, Box::new(Spy { inner, reports: Rc::clone(&reports) }));
    reports
}

/// A service, with a note of each of its connections that ends.
struct Spy {
    inner: Box<dyn Service>,
    reports: Rc<RefCell<Vec<Report>>>,
}

impl Service for Spy {
    fn call(&mut self, call: Call, slot: u32, io: &mut Io, core: &mut Core) -> bool {
        self.inner.call(call, slot, io, core)
    }

    fn accept(&mut self, from: Accepted<'_>) -> Result<u32, Refuse> {
        self.inner.accept(from)
    }

    fn limit(&mut self, from: Accepted<'_>) -> Refuse {
        self.inner.limit(from)
    }

    fn close(&mut self, conn: u32, report: &Report, core: &mut Core) -> bool {
        self.reports.borrow_mut().push(report.clone());
        self.inner.close(conn, report, core)
    }

    fn task_error(&mut self, report: &TaskReport, core: &mut Core) -> bool {
        self.inner.task_error(report, core)
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self.inner.as_any()
    }
}
