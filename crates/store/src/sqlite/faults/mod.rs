//! Faults under the whole store: SQLite's files and the keyring's on one disk, which fails, fills up and
//! loses power at any call, by chance that repeats itself.
//!
//! What clients do is done to models of the store as well. After a failure it may have been done or not,
//! so there are two models then; what can be read later has to be what one of them holds.

mod check;
mod client;
mod machine;
mod run;
mod view;

use std::io::ErrorKind;

use parlance_faultdisk::{Fault, Unsynced, What};

use self::run::{Counts, Run, Violation};
use super::vault;

/// A run from chance alone.
async fn random(seed: u64) -> (Counts, Result<(), Violation>) {
    let mut run = Run::new(seed, seed);
    let done = live(&mut run).await;
    if done.is_err() && std::env::var_os("STORY").is_some() {
        println!("{}\n{:?}", run.story.join("\n"), run.disk().fired());
        let calls = run.disk().calls_from(0); for c in calls.iter().skip(calls.len().saturating_sub(60)) { println!(" {:?} {}", c.what, c.name); }
        for (n, c) in run.disk().calls_from(0).iter().enumerate().take(120) { println!("{n} {:?} {}", c.what, c.name); }
    }
    (run.counts, done)
}

async fn live(run: &mut Run) -> Result<(), Violation> {
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
        run.look_for_canaries()?;
        match run.chance.below(3) {
            0 if !run.disk().is_off() => run.close().await?,
            _ => run.restart(),
        }
    }
    settle(run).await
}

/// A little of everything, with one fault.
async fn tour(fault: Option<(u64, Fault)>) -> (Run, Result<(), Violation>) {
    let mut run = Run::new(0, fault.map_or(0, |(at, _)| at));
    let done = toured(&mut run, fault).await;
    (run, done)
}

async fn toured(run: &mut Run, fault: Option<(u64, Fault)>) -> Result<(), Violation> {
    if let Some((at, fault)) = fault {
        run.disk().plan(at, fault);
    }
    run.start().await?;
    let acts = run.world.tour();
    for act in &acts {
        run.act(act).await?;
        if run.disk().is_off() || run.is_broken() {
            break;
        }
    }
    if run.is_over() {
        run.restart();
    } else {
        run.close().await?;
    }
    if fault.is_none() {
        return Ok(());
    }
    run.start().await?;
    let acts = run.world.tour();
    for act in acts.iter().take(6) {
        run.act(act).await?;
    }
    settle(run).await
}

/// What was acknowledged has to be on the disk, and all that is left to do has to be done.
async fn settle(run: &mut Run) -> Result<(), Violation> {
    run.cut(Unsynced::Lost);
    run.start().await?;
    run.check().await?;
    for _ in 0..3 {
        let act = run.world.act();
        run.act(&act).await?;
    }
    run.finish().await?;
    run.close().await?;
    run.cut(Unsynced::Lost);
    run.start().await?;
    run.check().await
}

/// Chooses what goes wrong in the life of the next process.
fn plan(run: &mut Run) {
    let chance = &mut run.chance;
    let count = match chance.below(8) {
        0 => 0,
        1 => 2,
        _ => 1,
    };
    for _ in 0..count {
        let reach = [60, 250, 900][chance.index(3)];
        let after = chance.below(reach);
        let (what, fault) = match chance.below(12) {
            0..5 => (None, Fault::PowerCut),
            5 | 6 => (None, Fault::Fails(ErrorKind::Other)),
            7 => (Some(What::Sync), Fault::Fails(ErrorKind::Other)),
            8 => (Some(What::Write), Fault::Fails(ErrorKind::Other)),
            9 => (None, Fault::NoSpace),
            10 => (None, Fault::Full),
            _ => (None, Fault::Short),
        };
        let at = run.machine.disk.calls() + after;
        run.machine.disk.plan_for(at, what, fault);
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap().block_on(work)
}

#[test]
fn nothing_is_lost_whatever_fails() {
    let count: u64 = std::env::var_os("PARLANCE_FAULTS")
        .map_or(100, |count| count.to_str().unwrap().parse().unwrap());
    let began = std::time::Instant::now();
    let mut all = Counts::default();
    let mut bad = 0;
    for seed in first()..first() + count {
        let (counts, done) = block_on(random(seed));
        all.runs += counts.runs;
        all.cuts += counts.cuts;
        all.faults += counts.faults;
        all.ends += counts.ends;
        all.broken += counts.broken;
        all.starts += counts.starts;
        all.acts += counts.acts;
        if let Err(why) = done {
            bad += 1;
            println!("seed {seed}: {}", &why[..why.len().min(600)]);
        }
    }
    println!("{all:?} {bad} bad in {:?}", began.elapsed());
    assert_eq!(bad, 0);
}

fn first() -> u64 {
    std::env::var_os("PARLANCE_SEED").map_or(0, |count| {
        count.to_str().unwrap().parse().unwrap()
    })
}

#[test]
fn every_call_may_fail() {
    let (run, done) = block_on(tour(None));
    done.unwrap();
    let calls = run.disk().calls_from(0);
    println!("{} calls", calls.len());
    let began = std::time::Instant::now();
    let (mut runs, mut bad) = (0, 0);
    for (call, at) in calls.iter().zip(0..) {
        for fault in [
            Fault::Fails(ErrorKind::Other),
        ] {
            if !call.what.can(fault) || (first() > 0 && at != first()) {
                continue;
            }
            runs += 1;
            let (run, done) = block_on(tour(Some((at, fault))));
            if let Err(why) = done {
                bad += 1;
                println!("{at} {fault:?} at {call:?}: {}", &why[..why.len().min(300)]);
                if bad == 1 && std::env::var_os("STORY").is_some() {
                    println!("{}", run.story.join("\n"));
                }
            }
        }
    }
    println!("{runs} runs, {bad} bad in {:?}", began.elapsed());
    assert_eq!(bad, 0);
}

#[test]
fn how_long() {
    let began = std::time::Instant::now();
    for seed in 0..50 {
        let machine = machine::Machine::new(seed);
        drop(machine.open().unwrap());
    }
    println!("make {:?}", began.elapsed() / 50);
    let machine = machine::Machine::new(1);
    let store = machine.open().unwrap();
    let began = std::time::Instant::now();
    vault::fill_some(&store.vault, store.vault.keyring().unwrap());
    println!("fill {:?}", began.elapsed());
    drop(store);
    let began = std::time::Instant::now();
    for _ in 0..50 {
        drop(machine.open().unwrap());
    }
    println!("open {:?}", began.elapsed() / 50);
    let began = std::time::Instant::now();
    for _ in 0..50 {
        machine.disk.holding(b"canary");
    }
    println!("holding {:?}", began.elapsed() / 50);
}
