//! What stands in the core's place while that is out: a core that nobody ever looks at, with nobody to work for it.

use crate::reactor::account::Account;
use crate::reactor::core::Core;
use crate::reactor::handle::Handle;
use crate::reactor::time::Time;
use crate::reactor::workers::NoWorkers;

pub(super) fn core(handle: Handle) -> Box<Core> {
    Box::new(Core::new(Time::ZERO, 0, Account::new(None), handle, Box::new(NoWorkers)))
}
