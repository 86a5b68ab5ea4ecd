//! What belongs to one reactor and comes to another: it is refused or finds its way, and never meets a stranger's task.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tidemill::proto::echo::Echo;
use tidemill::reactor::testing::{SimSys, World};
use tidemill::reactor::{Completer, Config, Key, PostError, Reactor, TaskError};

type Answers = Rc<RefCell<Vec<Result<u32, TaskError>>>>;

fn reactor(world: &World) -> (Reactor<SimSys>, Key<Echo>) {
    let mut reactor = Reactor::with_sys(world.sys(), Config::default());
    let key = reactor.add(Echo::new());
    (reactor, key)
}

/// Lets a task wait; the first of each reactor has the same slot and serial as the first of any other.
fn wait(reactor: &mut Reactor<SimSys>, key: Key<Echo>, answers: &Answers) -> Completer<u32> {
    let answers = Rc::clone(answers);
    reactor.with(key, |_, table| table.expect(None, move |_, answer, _| answers.borrow_mut().push(answer)))
}

fn turn(reactor: &mut Reactor<SimSys>) {
    for _ in 0..3 {
        reactor.turn(Some(Duration::ZERO)).unwrap();
        reactor.check();
    }
}

#[test]
fn a_value_given_to_the_wrong_reactor_is_refused_and_the_right_one_hears_so() {
    let world = World::new(1);
    let ((mut a, key_a), (mut b, key_b)) = (reactor(&world), reactor(&world));
    let (answers_a, answers_b) = (Answers::default(), Answers::default());
    let for_a = wait(&mut a, key_a, &answers_a);
    let for_b = wait(&mut b, key_b, &answers_b);
    assert_eq!(for_a.task(), for_b.task(), "they look alike");
    assert!(!b.with(key_b, |_, table| table.complete(for_a, 1)));
    turn(&mut a);
    turn(&mut b);
    assert_eq!(*answers_a.borrow(), [Err(TaskError::Cancelled)]);
    assert_eq!(*answers_b.borrow(), [], "nobody has answered this one");
    assert!(for_b.complete(2));
    turn(&mut b);
    assert_eq!(*answers_b.borrow(), [Ok(2)]);
}

#[test]
fn work_for_another_reactors_task_is_not_begun() {
    let world = World::new(1);
    let ((mut a, key_a), (mut b, key_b)) = (reactor(&world), reactor(&world));
    let (answers_a, answers_b) = (Answers::default(), Answers::default());
    let for_a = wait(&mut a, key_a, &answers_a);
    let _for_b = wait(&mut b, key_b, &answers_b);
    let back = b.with(key_b, |_, table| table.offload_into(for_a, || 1)).unwrap_err();
    assert!(back.complete(3), "it is still good where it belongs");
    turn(&mut a);
    turn(&mut b);
    assert_eq!(*answers_a.borrow(), [Ok(3)]);
    assert_eq!(*answers_b.borrow(), []);
}

#[test]
fn a_permit_released_on_the_wrong_reactor_goes_home() {
    let world = World::new(1);
    let ((mut a, key_a), (mut b, key_b)) = (reactor(&world), reactor(&world));
    let one_a = a.with(key_a, |_, table| table.semaphore(1));
    let one_b = b.with(key_b, |_, table| table.semaphore(1));
    let permit = a.with(key_a, |_, table| table.try_acquire(one_a)).unwrap();
    b.with(key_b, |_, table| table.release(permit));
    turn(&mut a);
    turn(&mut b);
    assert_eq!(a.with(key_a, |_, table| table.permits(one_a)), 1);
    assert_eq!(b.with(key_b, |_, table| table.permits(one_b)), 1, "not one more than it was made with");
}

#[test]
fn a_key_of_another_reactor_is_refused_wherever_it_is_used() {
    let world = World::new(1);
    let ((a, key_a), (mut b, key_b)) = (reactor(&world), reactor(&world));
    let panics = |f: &mut dyn FnMut()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    assert_eq!(b.handle().post(key_a, |_, _| ()), Err(PostError::Foreign));
    assert_eq!(b.handle().post_wait(key_a, |_, _| ()), Err(PostError::Foreign));
    assert!(panics(&mut || b.with(key_a, |_, _| ())));
    assert!(panics(&mut || {
        b.with(key_b, |_, table| table.post_to(key_a, |_, _| ()));
    }));
    assert!(panics(&mut || {
        let _ = b.listen(key_a, &"127.0.0.1:1".parse().unwrap());
    }));
    assert_eq!(a.handle().post(key_a, |_, _| ()), Ok(()));
}
