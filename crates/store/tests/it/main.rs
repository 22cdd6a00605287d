//! The stores, put through the suite that every store has to pass.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say so"
)]

mod audit;
mod erasing;
mod receipt_log;
mod root;
mod sealed;
mod sqlite;
mod turns;

use parlance_store::{Memory, Options, Sqlite};
use parlance_testkit::store_suite::{Bench, model};
use proptest::prelude::*;

fn memory() -> Bench {
    Bench::new(Memory::default(), ())
}

fn sqlite() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(dir.path(), Options::default()).unwrap();
    Bench::new(store, dir)
}

mod in_memory {
    parlance_testkit::store_conformance!(crate::memory);
}

mod in_sqlite {
    parlance_testkit::store_conformance!(crate::sqlite);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_does_what_its_model_does(steps in model::steps(40)) {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(dir.path(), Options::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(model::agree(&Memory::default(), &store, &steps));
    }
}
