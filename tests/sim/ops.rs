//! The random operations of `model.rs`, each done to the reactor and to the model.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use tidemill::reactor::{Missed, TaskError, Time};

use super::MS;
use super::model::{CAPACITY, Entry, Kind, Model, Open, PERMITS, State, Tab};

impl Model {
    // ── What is done ──

    /// One random operation.
    pub fn act(&self, table: Tab<'_, '_>) {
        let Some(left) = self.0.ops.get().checked_sub(1) else { return };
        self.0.ops.set(left);
        match self.below(24) {
            0..3 => self.post(table),
            3..6 => self.timer(table),
            6 => self.every(table),
            7 => self.slices(table),
            8..11 => self.wait(table),
            11 | 12 => self.answer(table),
            13 | 14 => self.cancel(table),
            15 | 16 => self.reset(table),
            17 => self.group(table),
            18 | 19 => self.acquire(table),
            20 => self.release(table),
            21 => self.take(table),
            _ => self.put(table),
        }
    }

    pub fn post(&self, table: Tab<'_, '_>) {
        let ((n, token), me) = (self.number(), self.clone());
        let id = table.post(move |_, table| {
            let _token = token;
            me.once(n, table);
        });
        let mut books = self.0.books.borrow_mut();
        books.posts_made += 1;
        let kind = Kind::Post { order: books.posts_made };
        drop(books);
        self.note(n, id, kind, table);
    }

    pub fn timer(&self, table: Tab<'_, '_>) {
        let ((n, token), me) = (self.number(), self.clone());
        let due = if self.chance(100) {
            Time::from_nanos(table.now().as_nanos() / 2)
        } else {
            table.now() + self.span()
        };
        let id = table.call_at(due, move |_, table| {
            let _token = token;
            me.once(n, table);
        });
        assert_eq!(table.task_due(id), Some(due));
        self.note(n, id, Kind::Timer { due }, table);
    }

    pub fn every(&self, table: Tab<'_, '_>) {
        let ((n, token), me) = (self.number(), self.clone());
        let missed = if self.chance(500) { Missed::Skip } else { Missed::Burst };
        let period = MS.max(self.span());
        let id = table.every(period, missed, move |_, table| {
            let _ = &token;
            me.tick(n, table);
        });
        self.note(n, id, Kind::Every { due: table.now() + period, period, missed }, table);
    }

    pub fn slices(&self, table: Tab<'_, '_>) {
        let ((n, token), me) = (self.number(), self.clone());
        let id = table.cooperate(move |_, table| {
            let _ = &token;
            me.slice(n, table)
        });
        self.note(n, id, Kind::Slices { left: 1 + self.below(5) as u32 }, table);
    }

    pub fn wait(&self, table: Tab<'_, '_>) {
        let ((n, token), me) = (self.number(), self.clone());
        let (limit, parts) = (self.limit(), 1 + self.below(3) as usize);
        let (id, completers) = match self.below(3) {
            0 => {
                let c = table.expect(limit, move |_, result, table| {
                    let _token = token;
                    me.heard(n, &[result], table);
                });
                (c.task(), vec![c])
            }
            1 => table.join(parts, limit, move |_, results, table| {
                let _token = token;
                assert_eq!(results.len(), parts);
                me.heard(n, &results, table);
            }),
            _ => table.race(parts, limit, move |_, result, table| {
                let _token = token;
                me.heard(n, &[result.map(|(_, value)| value)], table);
            }),
        };
        self.note(n, id, Kind::Wait { limit: limit.map(|l| table.now() + l) }, table);
        let open = &mut self.0.books.borrow_mut().open;
        let each = completers.into_iter().zip(0..);
        open.extend(each.map(|(completer, part)| Open { task: n, value: n * 10 + part, completer }));
    }

    /// Answers one that waits, or lets it down.
    pub fn answer(&self, table: Tab<'_, '_>) {
        let mut books = self.0.books.borrow_mut();
        if books.open.is_empty() {
            return;
        }
        let nth = self.below(books.open.len() as u64) as usize;
        let Open { task, value, completer } = books.open.swap_remove(nth);
        let alive = books.tasks[&task].state == State::Live;
        if self.chance(300) {
            books.failed.insert(task);
            drop(books);
            if self.chance(500) {
                assert!(completer.fail(TaskError::Cancelled));
            }
        } else {
            books.given.insert((task, value));
            drop(books);
            if self.chance(500) {
                assert!(completer.complete(value));
            } else {
                let wanted = table.complete(completer, value);
                assert!(alive || !wanted, "{task} is over, and wanted {value}");
            }
        }
    }

    /// A task of any kind and state.
    pub fn some_task(&self) -> Option<u64> {
        let last = self.0.books.borrow().next;
        let n = last.checked_sub(self.below(last.clamp(1, 40)))?;
        self.0.books.borrow().tasks.contains_key(&n).then_some(n)
    }

    pub fn cancelled(&self, n: u64) {
        let books = &mut *self.0.books.borrow_mut();
        let entry = books.tasks.get_mut(&n).unwrap();
        entry.state = State::Cancelled;
        if let Kind::Put { item, .. } = entry.kind {
            // It may have gone in without its task having heard of it.
            books.items_in.remove(&item);
            books.items_maybe.insert(item);
        }
    }

    pub fn can_be_cancelled(entry: &Entry) -> bool {
        let again = matches!(entry.kind, Kind::Every { .. } | Kind::Slices { .. });
        entry.state == State::Live || (entry.state == State::Running && again)
    }

    pub fn cancel(&self, table: Tab<'_, '_>) {
        let Some(n) = self.some_task() else { return };
        let entry = self.0.books.borrow().tasks[&n];
        assert_eq!(table.cancel(entry.id), Self::can_be_cancelled(&entry), "{entry:?}");
        if Self::can_be_cancelled(&entry) {
            self.cancelled(n);
        }
        assert!(!table.has_task(entry.id) && !table.cancel(entry.id));
    }

    pub fn reset(&self, table: Tab<'_, '_>) {
        let Some(n) = self.some_task() else { return };
        let (after, now) = (self.span(), table.now());
        let books = &mut *self.0.books.borrow_mut();
        let entry = books.tasks.get_mut(&n).unwrap();
        let (moved, able) = (table.reset(entry.id, after), Self::can_be_cancelled(entry));
        match &mut entry.kind {
            Kind::Timer { due } | Kind::Every { due, .. } => {
                assert_eq!(moved, able);
                if moved {
                    *due = now + after;
                }
            }
            Kind::Post { .. } | Kind::Slices { .. } => assert!(!moved),
            Kind::Wait { limit }
            | Kind::Acquire { limit, .. }
            | Kind::Take { limit }
            | Kind::Put { limit, .. } => {
                assert!(!moved || (able && limit.is_some()), "only a limit can be moved");
                if moved {
                    *limit = Some(now + after);
                }
            }
        }
        if moved {
            (entry.turn, entry.moved) = (table.turn(), true);
        }
    }

    pub fn group(&self, table: Tab<'_, '_>) {
        let g = self.below(2) as usize;
        let id = self.0.groups.get()[g].unwrap();
        if self.chance(150) {
            let members: Vec<u64> = {
                let books = self.0.books.borrow();
                let member = |e: &Entry| e.group == Some(g) && Self::can_be_cancelled(e);
                books.tasks.iter().filter(|(_, e)| member(e)).map(|(n, _)| *n).collect()
            };
            assert_eq!(table.group_len(id), members.len());
            assert_eq!(table.cancel_group(id), members.len());
            members.iter().for_each(|n| self.cancelled(*n));
            assert_eq!(table.group_len(id), 0);
        } else if let Some(n) = self.some_task() {
            let entry = self.0.books.borrow().tasks[&n];
            let joined = table.join_group(id, entry.id);
            assert_eq!(joined, Self::can_be_cancelled(&entry));
            if joined {
                self.0.books.borrow_mut().tasks.get_mut(&n).unwrap().group = Some(g);
            }
        }
    }

    pub fn acquire(&self, table: Tab<'_, '_>) {
        let s = self.0.semaphore.get().unwrap();
        if self.chance(200) {
            let permit = table.try_acquire(s);
            self.0.books.borrow_mut().permits.extend(permit);
            return;
        }
        let ((n, token), me, limit) = (self.number(), self.clone(), self.limit());
        let id = table.acquire(s, limit, move |_, result, table| {
            let _token = token;
            me.begin(n, table);
            match result {
                Ok(permit) => {
                    let books = &mut *me.0.books.borrow_mut();
                    let Kind::Acquire { order, .. } = books.tasks[&n].kind else { panic!() };
                    assert!(order > books.last_acquired, "first come, first served");
                    books.last_acquired = order;
                    books.permits.push(permit);
                    assert!(books.permits.len() <= PERMITS, "{} at a time", books.permits.len());
                }
                Err(error) => me.judge(n, error, me.limit_of(n), table),
            }
            me.body(n, table);
            me.end(n);
        });
        let limit = limit.map(|l| table.now() + l);
        self.note(n, id, Kind::Acquire { limit, order: n }, table);
    }

    pub fn release(&self, table: Tab<'_, '_>) {
        let Some(permit) = self.0.books.borrow_mut().permits.pop() else { return };
        if self.chance(500) { table.release(permit) } else { drop(permit) }
    }

    pub fn out(&self, item: u64) {
        let mut books = self.0.books.borrow_mut();
        let known = books.items_in.contains(&item) || books.items_maybe.contains(&item);
        assert!(known, "{item} was never put in");
        assert!(books.items_out.insert(item), "{item} came out twice");
    }

    pub fn take(&self, table: Tab<'_, '_>) {
        let q = self.0.queue.get().unwrap();
        if self.chance(400) {
            if let Some(item) = table.pop(q) {
                self.out(item);
            }
            return;
        }
        let ((n, token), me, limit) = (self.number(), self.clone(), self.limit());
        let id = table.take(q, limit, move |_, result, table| {
            let _token = token;
            me.begin(n, table);
            match result {
                Ok(item) => me.out(item),
                Err(error) => me.judge(n, error, me.limit_of(n), table),
            }
            me.body(n, table);
            me.end(n);
        });
        self.note(n, id, Kind::Take { limit: limit.map(|l| table.now() + l) }, table);
    }

    pub fn put(&self, table: Tab<'_, '_>) {
        let q = self.0.queue.get().unwrap();
        let (n, token) = self.number();
        let item = n;
        match self.below(3) {
            0 => {
                let full = table.queue_len(q) >= CAPACITY;
                assert_eq!(table.push(q, item).is_err(), full);
                if !full {
                    self.0.books.borrow_mut().items_in.insert(item);
                }
            }
            1 => {
                let sender = table.sender(q).unwrap();
                if sender.send(item).is_ok() {
                    self.0.books.borrow_mut().items_in.insert(item);
                }
            }
            _ => {
                let (me, limit) = (self.clone(), self.limit());
                // It may go in before its task hears of it.
                self.0.books.borrow_mut().items_in.insert(item);
                let id = table.push_later(q, item, limit, move |_, result, table| {
                    let _token = token;
                    me.begin(n, table);
                    if let Err(error) = result {
                        me.judge(n, error, me.limit_of(n), table);
                        assert!(!me.0.books.borrow_mut().items_out.contains(&item), "{item} was not put in");
                        me.0.books.borrow_mut().items_in.remove(&item);
                    }
                    me.body(n, table);
                    me.end(n);
                });
                let limit = limit.map(|l| table.now() + l);
                self.note(n, id, Kind::Put { limit, item }, table);
                return;
            }
        }
        // Who captures nothing lets its token go, quietly.
        std::mem::forget(token);
        self.0.live.set(self.0.live.get() - 1);
    }
}
