//! Timers in the two ways that tokio offers: a task that sleeps (code runs when it is over, as everywhere else), and a
//! `DelayQueue` of tokio-util (a value comes out of a stream when it is over; one task for all).

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_util::time::DelayQueue;

use crate::phases::{FIRES, MILLION, Phases, RESETS_A_TURN, scrambled};

pub async fn run(scale: f64) {
    let (million, fires) = ((MILLION * scale) as usize, (FIRES * scale) as usize);
    set_and_cancel(million, scale).await;
    fire(fires, scale).await;
    reset(million, scale).await;
    queue_set_and_cancel(million, scale).await;
    queue_fire(fires, scale).await;
    queue_reset(million, scale).await;
}

/// Spread over ten minutes, none of them due within a minute.
fn far(i: usize) -> Duration {
    Duration::from_millis(60_000 + scrambled(i) % 600_000)
}

/// Spread over 50 ms, and none due before the tasks of all have been polled for the first time.
fn near(i: usize) -> Duration {
    Duration::from_millis(300 + scrambled(i) % 50)
}

/// All timers are due after this: what is timed then is firing and not waiting.
fn let_all_come_due() {
    std::thread::sleep(Duration::from_millis(360));
}

/// Tasks that have been polled, which files their sleep, and tasks that are over.
static BEGUN: AtomicUsize = AtomicUsize::new(0);
static OVER: AtomicUsize = AtomicUsize::new(0);

/// Counts a task when it ends, in whatever way.
struct Waiting;

impl Waiting {
    fn begin() -> Self {
        BEGUN.fetch_add(1, Relaxed);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        OVER.fetch_add(1, Relaxed);
    }
}

async fn until(count: &AtomicUsize, n: usize) {
    while count.load(Relaxed) != n {
        yield_now().await;
    }
    count.store(0, Relaxed);
}

async fn set_and_cancel(n: usize, scale: f64) {
    let mut phases = Phases::new(["set", "cancel"], scale);
    while phases.more() {
        let began = Instant::now();
        let mut tasks = Vec::with_capacity(n);
        for i in 0..n {
            tasks.push(tokio::spawn(async move {
                let _waiting = Waiting::begin();
                sleep(far(i)).await;
                panic!("a cancelled timer fired");
            }));
        }
        until(&BEGUN, n).await;
        phases.add(0, n, began);
        let began = Instant::now();
        for task in &tasks {
            task.abort();
        }
        until(&OVER, n).await;
        phases.add(1, n, began);
        for task in tasks {
            assert!(task.await.is_err_and(|e| e.is_cancelled()), "a cancelled timer fired");
        }
    }
    phases.print();
}

async fn fire(n: usize, scale: f64) {
    let fired: &'static [AtomicU8] = Vec::leak((0..n).map(|_| AtomicU8::new(0)).collect());
    let mut phases = Phases::new(["fire"], scale);
    while phases.more() {
        for (i, fired) in fired.iter().enumerate() {
            tokio::spawn(async move {
                let _waiting = Waiting::begin();
                sleep(near(i)).await;
                fired.fetch_add(1, Relaxed);
            });
        }
        until(&BEGUN, n).await;
        let_all_come_due();
        let early = fired.iter().filter(|f| f.load(Relaxed) == 1).count();
        let began = Instant::now();
        until(&OVER, n).await;
        phases.add(0, n - early, began);
        sleep(Duration::from_millis(2)).await;
        assert!(fired.iter().all(|f| f.swap(0, Relaxed) == 1), "each timer fires once");
    }
    phases.print();
}

async fn reset(n: usize, scale: f64) {
    let mut phases = Phases::new(["reset"], scale);
    let mut timer = Box::pin(sleep(Duration::from_secs(60)));
    file(timer.as_mut()).await;
    while phases.more() {
        let began = Instant::now();
        for _ in 0..n / RESETS_A_TURN {
            for _ in 0..RESETS_A_TURN {
                timer.as_mut().reset(tokio::time::Instant::now() + Duration::from_secs(60));
            }
            yield_now().await;
        }
        phases.add(0, n, began);
    }
    assert!(!timer.is_elapsed(), "a timer that was moved fired");
    phases.print();
}

/// Polls a sleep once, which files it.
async fn file(mut timer: Pin<&mut tokio::time::Sleep>) {
    poll_fn(|cx| {
        assert!(timer.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

async fn queue_set_and_cancel(n: usize, scale: f64) {
    let mut phases = Phases::new(["set:queue", "cancel:queue"], scale);
    while phases.more() {
        let began = Instant::now();
        let mut queue = DelayQueue::new();
        let mut keys = Vec::with_capacity(n);
        for i in 0..n {
            keys.push(queue.insert(i, far(i)));
        }
        poll_fn(|cx| {
            assert!(queue.poll_expired(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        phases.add(0, n, began);
        let began = Instant::now();
        for key in &keys {
            queue.remove(key);
        }
        yield_now().await;
        phases.add(1, n, began);
        assert!(queue.is_empty());
    }
    phases.print();
}

async fn queue_fire(n: usize, scale: f64) {
    let mut phases = Phases::new(["fire:queue"], scale);
    let mut fired = vec![0u8; n];
    while phases.more() {
        fired.fill(0);
        let mut queue = DelayQueue::new();
        for i in 0..n {
            queue.insert(i, near(i));
        }
        let_all_come_due();
        let began = Instant::now();
        while let Some(expired) = poll_fn(|cx| queue.poll_expired(cx)).await {
            fired[expired.into_inner()] += 1;
        }
        phases.add(0, n, began);
        assert!(fired.iter().all(|f| *f == 1), "each timer fires once");
    }
    phases.print();
}

async fn queue_reset(n: usize, scale: f64) {
    let mut phases = Phases::new(["reset:queue"], scale);
    let mut queue = DelayQueue::new();
    let key = queue.insert((), Duration::from_secs(60));
    while phases.more() {
        let began = Instant::now();
        for _ in 0..n / RESETS_A_TURN {
            for _ in 0..RESETS_A_TURN {
                queue.reset(&key, Duration::from_secs(60));
            }
            yield_now().await;
        }
        phases.add(0, n, began);
    }
    assert_eq!(queue.len(), 1);
    phases.print();
}
