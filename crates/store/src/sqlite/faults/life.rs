//! The lives of the processes of a run: what they do, what goes wrong, how they end.

use std::io::ErrorKind;

use parlance_faultdisk::{Call, Fault, Unsynced, What};

use super::client::Act;
use super::run::{Counts, Run, Violation};

/// Every fault that a tour is tried with.
pub(super) const FAULTS: [Fault; 6] = [
    Fault::PowerCut,
    Fault::Fails(ErrorKind::Other),
    Fault::Kill,
    Fault::NoSpace,
    Fault::Full,
    Fault::Short,
];

/// What came of a run.
pub(super) struct Ending {
    pub(super) counts: Counts,
    /// What does not hold, and what led to it.
    pub(super) violation: Option<Violation>,
}

/// Lets the run go on to its end. One that finds something wrong is told again, at length.
fn ended(
    name: &str,
    again: &str,
    begin: impl Fn() -> Run,
    live: impl AsyncFn(&mut Run) -> Result<(), Violation>,
) -> Ending {
    let mut run = begin();
    let mut done = block_on(live(&mut run));
    let mut violation = done.err();
    if let Some(why) = &mut violation {
        let mut retold = begin();
        retold.story = Some(Vec::new());
        done = block_on(live(&mut retold));
        let story = retold.story.take().unwrap_or_default().join("\n");
        let found = match done {
            Ok(()) => "nothing the second time: threads got in each other's way".to_owned(),
            Err(why) => why,
        };
        *why = format!("{name}: {why}\nAgain: {again}\n{story}\n{found}");
    }
    Ending {
        counts: run.counts,
        violation,
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap().block_on(work)
}

/// A run from chance alone, on a disk that ignores the syncs of some files.
pub(super) fn random(seed: u64, ignored: &[&str]) -> Ending {
    let begin = || {
        let run = Run::new(seed, seed);
        for file in ignored {
            run.disk().ignore_syncs(file);
        }
        run
    };
    let again = format!("cargo xtask faults --count 1 --seed {seed}");
    ended(&format!("seed {seed}"), &again, begin, async |run| {
        some_lives(run).await
    })
}

async fn some_lives(run: &mut Run) -> Result<(), Violation> {
    for _ in 0..=run.chance.below(4) {
        plan(run);
        run.start().await?;
        for _ in 0..run.chance.below(30) {
            let act = run.world.act();
            run.act(&act).await?;
            if run.disk().is_off() || (run.is_broken() && run.chance.one_in(4)) {
                break;
            }
        }
        match run.chance.below(3) {
            0 if !run.disk().is_off() => run.close().await?,
            _ => run.restart()?,
        }
    }
    settle(run).await
}

/// Chooses what goes wrong in the life of the next process.
fn plan(run: &mut Run) {
    let chance = &mut run.chance;
    let count = match chance.below(8) {
        0 => 0,
        1 => 2,
        _ => 1,
    };
    let failure = Fault::Fails(ErrorKind::Other);
    for _ in 0..count {
        // The first few calls open the store.
        let reach = [60, 250, 900][chance.index(3)];
        let after = chance.below(reach);
        let (what, fault) = match chance.below(14) {
            0..5 => (None, Fault::PowerCut),
            5 => (None, Fault::Kill),
            6 | 7 => (None, failure),
            8 | 9 => (Some(What::Sync), failure),
            10 => (Some(What::Write), failure),
            11 => (None, Fault::NoSpace),
            12 => (None, Fault::Full),
            _ => (None, Fault::Short),
        };
        let at = run.machine.disk.calls() + after;
        run.machine.disk.plan_for(at, what, fault);
    }
}

/// The calls of a tour on which nothing goes wrong.
pub(super) fn calls_of_a_tour() -> Vec<Call> {
    let mut run = Run::new(0, 0);
    block_on(first_life(&mut run)).unwrap();
    run.disk().calls_from(0)
}

/// A little of everything, with one fault.
pub(super) fn tour(at: u64, fault: Fault) -> Ending {
    let begin = || {
        let run = Run::new(0, at);
        run.disk().plan(at, fault);
        run
    };
    let name = format!("{fault:?} at call {at} of a tour");
    ended(&name, "cargo xtask faults --count 0", begin, async |run| {
        first_life(run).await?;
        run.start().await?;
        for act in run.world.tour().iter().take(6) {
            run.act(act).await?;
        }
        settle(run).await
    })
}

async fn first_life(run: &mut Run) -> Result<(), Violation> {
    run.start().await?;
    for act in run.world.tour() {
        run.act(&act).await?;
        if run.is_over() {
            return run.restart();
        }
    }
    run.close().await
}

/// What was acknowledged has to be on the disk, and all that is left to do has to be done.
async fn settle(run: &mut Run) -> Result<(), Violation> {
    run.cut(Unsynced::Lost)?;
    run.start().await?;
    run.check().await?;
    for _ in 0..2 {
        let act = run.world.act();
        run.act(&act).await?;
    }
    run.act(&Act::LookAway).await?;
    run.finish().await?;
    run.close().await?;
    run.cut(Unsynced::Lost)?;
    run.start().await?;
    run.check().await
}
