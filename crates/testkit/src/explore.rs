//! Runs a body of threads or tasks again and again, each time in another order of events.
//!
//! The body uses what `shuttle` offers in place of the standard library's locks, threads and tasks: it
//! then runs on one thread, and whoever explores decides at each lock, atomic or await who goes on. All
//! else must be the same in every run. A body fails by panicking, by waiting for ever, or by going on
//! for ever; the schedule that did it is printed, and `MODELS_SCHEDULE` runs it again.

use std::env;
use std::io::{Write, stderr};
use std::sync::Arc;

use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Schedule, Scheduler, Task, TaskId,
};
use shuttle::{Config, MaxSteps, Runner};

/// As many schedules by chance, in place of what the model says.
const COUNT: &str = "MODELS_COUNT";
/// As many delays where all schedules are tried, in place of what the model says.
const DELAYS: &str = "MODELS_DELAYS";
/// The only schedule to run, as it was printed.
const SCHEDULE: &str = "MODELS_SCHEDULE";

/// The seed of the schedules that are the same in every run.
const SEED: u64 = 7;
/// How many orders of two events have to be just so for a defect that is looked for to show.
const DEPTH: usize = 3;
/// A body that goes on for longer goes on for ever.
const STEPS_MAX: usize = 50_000;
/// Bytes of each task's stack: what is not optimised needs a lot.
const STACK: usize = 512 * 1_024;

/// What is tried of a body.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// So many schedules by chance: half of them wherever chance leads, half with few interruptions at
    /// unlikely moments (PCT); half of each the same in every run.
    pub by_chance: usize,
    /// Every schedule with at most so many delays: a task is passed over although it is its turn, where
    /// each goes on until it waits. With `usize::MAX`, every schedule there is.
    pub delays: Option<usize>,
}

/// Tries the schedules of a plan on a body.
pub fn explore(plan: Plan, body: impl Fn() + Send + Sync + 'static) {
    let body = Arc::new(body);
    if let Some(schedule) = env::var_os(SCHEDULE) {
        let schedule = schedule.to_string_lossy();
        run(ReplayScheduler::new_from_encoded(&schedule), &body);
        return say("one schedule again");
    }
    let part = number(COUNT).unwrap_or(plan.by_chance).div_ceil(4);
    let tried = run(RandomScheduler::new_from_seed(SEED, part), &body)
        + run(RandomScheduler::new(part), &body)
        + run(PctScheduler::new_from_seed(SEED, DEPTH, part), &body)
        + run(PctScheduler::new(DEPTH, part), &body);
    say(&format!("{tried} schedules by chance"));
    if let Some(planned) = plan.delays {
        let max = number(DELAYS).unwrap_or(planned);
        let tried = run(Delays::new(max), &body);
        say(&match max {
            usize::MAX => format!("all {tried} schedules"),
            max => format!("all {tried} schedules with at most {max} delays"),
        });
    }
}

fn run(
    scheduler: impl Scheduler + 'static,
    body: &Arc<impl Fn() + Send + Sync + 'static>,
) -> usize {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    let body = Arc::clone(body);
    Runner::new(scheduler, config).run(move || body())
}

fn number(name: &str) -> Option<usize> {
    let text = env::var_os(name)?;
    Some(text.to_string_lossy().parse().unwrap())
}

fn say(what: &str) {
    let thread = std::thread::current();
    let model = thread.name().unwrap_or_default();
    // Nobody is left to tell where standard error is gone.
    drop(writeln!(stderr(), "{model}: {what}"));
}

/// Depth first through all schedules with so many delays.
///
/// Undelayed, a task goes on until it waits, and then the next one does, in the order in which they
/// were made and from the last one to the first again. A delay passes over the task whose turn it is
/// ("delay-bounded scheduling", Emmi, Qadeer and Rakamaric, 2011).
struct Delays {
    max: usize,
    used: usize,
    step: usize,
    /// How many tasks were passed over at each step, and how many more could have been.
    path: Vec<(usize, usize)>,
    started: bool,
}

impl Delays {
    const fn new(max: usize) -> Self {
        Self {
            max,
            used: 0,
            step: 0,
            path: Vec::new(),
            started: false,
        }
    }
}

impl Scheduler for Delays {
    fn new_execution(&mut self) -> Option<Schedule> {
        if self.started {
            while self.path.pop_if(|(_, more)| *more == 0).is_some() {}
            let (passed, more) = self.path.last_mut()?;
            (*passed, *more) = (*passed + 1, *more - 1);
        }
        self.started = true;
        (self.used, self.step) = (0, 0);
        Some(Schedule::new(SEED))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let mut turns: Vec<TaskId> = runnable.iter().map(|task| task.id()).collect();
        let is_past = |task: &TaskId| match current {
            Some(current) if is_yielding => *task <= current,
            Some(current) => *task < current,
            None => false,
        };
        turns.sort_by_key(|task| (is_past(task), *task));
        if self.step == self.path.len() {
            let more = (turns.len() - 1).min(self.max - self.used);
            self.path.push((0, more));
        }
        let (passed, _) = self.path[self.step];
        self.used += passed;
        self.step += 1;
        Some(turns[passed])
    }

    fn next_u64(&mut self) -> u64 {
        panic!("where all schedules are tried nothing else is left to chance")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use shuttle::sync::{Mutex, atomic};

    use super::*;

    type Seen = Arc<std::sync::Mutex<BTreeSet<String>>>;

    /// Two tasks that say a letter twice.
    fn letters(seen: &Seen) -> impl Fn() + Send + Sync + use<> {
        let seen = Arc::clone(seen);
        move || {
            let said = Arc::new(Mutex::new(String::new()));
            let speak = |letter| {
                let said = Arc::clone(&said);
                shuttle::thread::spawn(move || {
                    for _ in 0..2 {
                        said.lock().unwrap().push(letter);
                    }
                })
            };
            for thread in [speak('a'), speak('b')] {
                thread.join().unwrap();
            }
            let said = said.lock().unwrap().clone();
            seen.lock().unwrap().insert(said);
        }
    }

    fn orders(delays: usize) -> Vec<String> {
        let seen = Seen::default();
        run(Delays::new(delays), &Arc::new(letters(&seen)));
        let seen = seen.lock().unwrap();
        seen.iter().cloned().collect()
    }

    #[test]
    fn without_delays_tasks_run_through_one_after_the_other() {
        assert_eq!(orders(0), ["aabb"]);
    }

    #[test]
    fn each_delay_adds_the_orders_that_need_it() {
        assert_eq!(orders(1), ["aabb", "abba", "bbaa"]);
        let all = ["aabb", "abab", "abba", "baab", "baba", "bbaa"];
        assert_eq!(orders(3), all);
        assert_eq!(orders(usize::MAX), all);
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn tasks_that_wait_for_each_other_are_found() {
        let plan = Plan {
            by_chance: 0,
            delays: Some(1),
        };
        explore(plan, || {
            let locks = Arc::new((Mutex::new(()), Mutex::new(())));
            let other = Arc::clone(&locks);
            let thread = shuttle::thread::spawn(move || {
                let _first = other.0.lock().unwrap();
                let _second = other.1.lock().unwrap();
            });
            let second = locks.1.lock().unwrap();
            let first = locks.0.lock().unwrap();
            drop((first, second));
            thread.join().unwrap();
        });
    }

    #[test]
    #[should_panic(expected = "a lost update")]
    fn an_update_that_is_lost_by_chance_is_found() {
        let plan = Plan {
            by_chance: 400,
            delays: None,
        };
        explore(plan, || {
            let count = Arc::new(atomic::AtomicUsize::new(0));
            let other = Arc::clone(&count);
            let add = |count: &atomic::AtomicUsize| {
                let before = count.load(atomic::Ordering::SeqCst);
                count.store(before + 1, atomic::Ordering::SeqCst);
            };
            let thread = shuttle::thread::spawn(move || add(&other));
            add(&count);
            thread.join().unwrap();
            let after = count.load(atomic::Ordering::SeqCst);
            assert_eq!(after, 2, "a lost update");
        });
    }
}
