//! JSON objects whose values are kept as text, so that nothing of them changes: the text of a number
//! included, which a tree would write in its own way.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use parlance_domain::Json;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An object, its keys in their order. Of a key that is given twice the last value counts, in the
/// place of the first, as everywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawObject(Vec<(String, Json)>);

impl RawObject {
    /// Reads an object; none if the text is something else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// `head`, and after it what `rest` has besides, without the key `but`. The time grows with the
    /// size of `rest`, however many keys it has.
    pub(crate) fn headed<const N: usize>(head: [(&str, Json); N], rest: &Self, but: &str) -> Self {
        let mut pairs = Vec::with_capacity(N + rest.0.len());
        pairs.extend(head.map(|(key, value)| (key.to_owned(), value)));
        for (key, value) in &rest.0 {
            let is_there = pairs.iter().take(N).any(|(own, _)| own == key);
            if !is_there && key != but {
                pairs.push((key.clone(), value.clone()));
            }
        }
        Self(pairs)
    }

    /// Sets the value of a key, in its old place or at the end.
    pub(crate) fn set(&mut self, key: &str, value: Json) {
        match self.0.iter_mut().find(|(own, _)| own == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Json> {
        self.0
            .iter()
            .find(|(own, _)| own == key)
            .map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = RawObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
                let (mut pairs, mut places) = (Vec::new(), BTreeMap::new());
                while let Some((key, value)) = map.next_entry::<String, Json>()? {
                    match places.entry(key) {
                        Entry::Vacant(place) => {
                            pairs.push((place.key().clone(), value));
                            place.insert(pairs.len() - 1);
                        }
                        Entry::Occupied(place) => {
                            if let Some((_, old)) = pairs.get_mut(*place.get()) {
                                *old = value;
                            }
                        }
                    }
                }
                Ok(RawObject(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

impl Serialize for RawObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
