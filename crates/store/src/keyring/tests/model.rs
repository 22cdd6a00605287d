//! Random sequences of calls, compared with a model that is a map.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::sim::{Sim, Unsynced};
use super::*;

/// A call. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Call {
    Take(usize),
    GiveBack,
    Wipe(Vec<usize>),
    Read(usize),
    Refill,
    Restart(bool),
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        3 => (1_usize..900).prop_map(Call::Take),
        1 => Just(Call::GiveBack),
        4 => vec(any::<usize>(), 0..40).prop_map(Call::Wipe),
        4 => any::<usize>().prop_map(Call::Read),
        1 => Just(Call::Refill),
        1 => any::<bool>().prop_map(Call::Restart),
    ]
}

#[derive(Default)]
struct Model {
    /// Every key that was ever taken, and its commitment while it lives.
    keys: BTreeMap<KeyRef, Option<[u8; 32]>>,
    mark: Mark,
}

impl Model {
    fn choose(&self, number: usize) -> Option<KeyRef> {
        let at = number.checked_rem(self.keys.len())?;
        self.keys.keys().nth(at).copied()
    }

    fn live(&self) -> Vec<KeyRef> {
        let live = self.keys.iter().filter(|(_, key)| key.is_some());
        live.map(|(at, _)| *at).collect()
    }
}

struct Run {
    sim: Sim,
    root: Memory,
    mirror: Option<&'static Path>,
    model: Model,
}

impl Run {
    fn reopen(&self) -> Keyring {
        let options = options(&self.root, self.mirror);
        let dir = Path::new("data/keyring");
        let keyring = open::open(&self.sim, dir, STORE, self.model.mark, &options).unwrap();
        let erased = keyring.settle(self.model.live().into_iter()).unwrap();
        assert_eq!(erased, []);
        keyring
    }

    fn take(&mut self, keyring: &Keyring) {
        let (at, key) = keyring.take().unwrap();
        let before = self.model.keys.insert(at, Some(key.commitment()));
        assert!(before.is_none(), "{at:?} was there before");
        let mark = keyring.mark();
        assert!(mark.epoch >= self.model.mark.epoch && mark.segments >= self.model.mark.segments);
        self.model.mark = mark;
    }

    fn call(&mut self, keyring: Keyring, call: &Call) -> Keyring {
        match call {
            Call::Take(count) => (0..*count).for_each(|_| self.take(&keyring)),
            Call::GiveBack => keyring.give_back(keyring.take().unwrap().0),
            Call::Wipe(chosen) => {
                let keys: Vec<KeyRef> = chosen
                    .iter()
                    .filter_map(|number| self.model.choose(*number))
                    .collect();
                keyring.wipe(&keys).unwrap();
                for key in keys {
                    self.model.keys.insert(key, None);
                }
            }
            Call::Read(number) => {
                if let Some(at) = self.model.choose(*number) {
                    assert_eq!(commitment(&keyring, at), self.model.keys[&at]);
                }
            }
            Call::Refill => keyring.refill().unwrap(),
            Call::Restart(power_loss) => {
                drop(keyring);
                if *power_loss {
                    self.sim.restart(Unsynced::Lost);
                }
                return self.reopen();
            }
        }
        keyring
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_keyring_is_a_map_whatever_is_called(calls in vec(call(), 1..40), mirrored in any::<bool>()) {
        let mut run = Run {
            sim: Sim::default(),
            root: Memory::default(),
            mirror: mirrored.then_some(Path::new("other/keyring")),
            model: Model::default(),
        };
        let options = options(&run.root, run.mirror);
        let dir = Path::new("data/keyring");
        let mut keyring = open::create(&run.sim, dir, STORE, &options).unwrap();
        for call in &calls {
            keyring = run.call(keyring, call);
        }
        for (at, known) in &run.model.keys {
            assert_eq!(commitment(&keyring, *at), *known);
        }
    }
}
