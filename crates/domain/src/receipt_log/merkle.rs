//! Merkle trees as in RFC 6962: a leaf and an inner node are never hashed alike, and a tree over more
//! leaves has the root of fewer in it.

use ring::digest::{Context, SHA256};

/// A SHA-256.
pub type Hash = [u8; 32];

const LEAF: &[u8] = &[0];
const NODE: &[u8] = &[1];

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    hash
}

/// The hash of an entry.
pub fn leaf(entry: &[u8]) -> Hash {
    hash(&[LEAF, entry])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    hash(&[NODE, left, right])
}

/// The right edge of a tree: enough to add leaves and to know the root, however many leaves there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// The roots of the full trees that the leaves fall into, the largest first: one for each bit that
    /// is set in `size`.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The frontier with these peaks, the largest first; none if they are not as many as there have to
    /// be.
    pub fn new(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        let fits = u64::try_from(peaks.len()).is_ok_and(|len| len == u64::from(size.count_ones()));
        fits.then_some(Self { size, peaks })
    }

    /// How many leaves there are.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the full trees, the largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut grown = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                grown = node(&left, &grown);
            }
        }
        self.peaks.push(grown);
        self.size = self.size.saturating_add(1);
    }

    /// The root over all leaves.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return hash(&[]);
        };
        peaks.fold(*last, |right, left| node(left, &right))
    }
}

/// The root over these leaves.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.push(*leaf);
    }
    frontier.root()
}

/// What leads from the leaf at `at` to the root over all of `leaves`: one hash for each level, the
/// lowest first. Empty if there is no such leaf.
pub fn path(leaves: &[Hash], at: usize) -> Vec<Hash> {
    if at >= leaves.len() || leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut below, other) = match at.checked_sub(left.len()) {
        None => (path(left, at), root(right)),
        Some(at) => (path(right, at), root(left)),
    };
    below.push(other);
    below
}

/// The root of a tree of `size` leaves in which `leaf` is at `at`, if `path` leads there (RFC 9162,
/// section 2.1.3.2); none if no path of that length can.
pub fn root_by(path: &[Hash], leaf: Hash, at: u64, size: u64) -> Option<Hash> {
    let (mut at, mut last) = (at, size.checked_sub(1).filter(|last| at <= *last)?);
    let mut root = leaf;
    for other in path {
        if last == 0 {
            return None;
        }
        if at % 2 == 1 || at == last {
            root = node(other, &root);
            // Where the right edge has no leaf of its own on a level, it is passed over.
            let skipped = at.trailing_zeros().min(u64::BITS - 1);
            at >>= skipped;
            last >>= skipped;
        } else {
            root = node(&root, other);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::hex;

    fn leaves(count: u32) -> Vec<Hash> {
        (0..count).map(|n| leaf(&n.to_be_bytes())).collect()
    }

    /// The definition, to the letter: section 2.1 of RFC 6962.
    fn plain(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => hash(&[]),
            [one] => *one,
            _ => {
                let mut split = 1;
                while split * 2 < leaves.len() {
                    split *= 2;
                }
                node(&plain(&leaves[..split]), &plain(&leaves[split..]))
            }
        }
    }

    #[test]
    fn the_roots_are_those_of_the_reference_implementation() {
        // The test vectors of Certificate Transparency, `merkle_tree_test`.
        let inputs = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let bytes = |digits: &str| -> Vec<u8> {
            let pairs = digits.as_bytes().chunks(2);
            let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            pairs.map(byte).collect()
        };
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let mut frontier = Frontier::default();
        assert_eq!(hex(&frontier.root()), empty);
        for (input, root) in inputs.iter().zip(roots) {
            frontier.push(leaf(&bytes(input)));
            assert_eq!(hex(&frontier.root()), root);
        }
    }

    #[test]
    fn every_leaf_of_every_small_tree_has_a_path_and_no_other_leads_to_the_root() {
        for count in 1..40_u32 {
            let leaves = leaves(count);
            let root = plain(&leaves);
            for (at, leaf) in leaves.iter().enumerate() {
                let path = path(&leaves, at);
                let (place, size) = (u64::try_from(at).unwrap(), u64::from(count));
                assert_eq!(root_by(&path, *leaf, place, size), Some(root));
                for wrong in 0..size + 2 {
                    let found = root_by(&path, *leaf, wrong, size);
                    assert!(wrong == place || found != Some(root), "{wrong} for {place}");
                }
                let longer = [path.as_slice(), &[root]].concat();
                assert_eq!(root_by(&longer, *leaf, place, size), None);
                if let Some((_, shorter)) = path.split_last() {
                    assert_eq!(root_by(shorter, *leaf, place, size), None);
                }
            }
            assert_eq!(path(&leaves, leaves.len()), Vec::<Hash>::new());
        }
        assert_eq!(root_by(&[], [0; 32], 0, 0), None);
    }

    #[test]
    fn a_frontier_has_as_many_peaks_as_its_size_has_bits() {
        let peaks = leaves(2);
        assert!(Frontier::new(3, peaks.clone()).is_some());
        assert_eq!(Frontier::new(4, peaks.clone()), None);
        assert_eq!(Frontier::new(0, peaks), None);
    }

    proptest! {
        #[test]
        fn the_frontier_grows_to_the_plain_root_and_can_be_put_down_anywhere(
            count in 0..300_u32, put_down in 0..300_u32,
        ) {
            let leaves = leaves(count);
            let mut frontier = Frontier::default();
            for (at, leaf) in (0..).zip(&leaves) {
                if at == put_down {
                    let peaks = frontier.peaks().to_vec();
                    frontier = Frontier::new(frontier.size(), peaks).unwrap();
                }
                frontier.push(*leaf);
            }
            prop_assert_eq!(frontier.size(), u64::from(count));
            prop_assert_eq!(frontier.root(), plain(&leaves));
            prop_assert_eq!(root(&leaves), plain(&leaves));
        }
    }
}
