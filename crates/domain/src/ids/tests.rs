use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};

use proptest::prelude::*;

use super::*;

struct Still(AtomicI64);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

fn source(millis: i64) -> (Arc<Still>, IdSource) {
    let clock = Arc::new(Still(AtomicI64::new(millis)));
    (Arc::clone(&clock), IdSource::new(clock, [7; 32]))
}

#[test]
fn an_id_is_a_version_7_uuid_of_its_millisecond() {
    let id: ConversationId = source(1_795_000_000_123).1.next();
    assert_eq!(id.made_at().millis(), 1_795_000_000_123);
    assert_eq!((id.bits() >> 76) & 0xf, 7);
    assert_eq!((id.bits() >> 62) & 0b11, 0b10);
}

#[test]
fn ids_of_one_millisecond_rise_and_have_decimals_of_their_own() {
    let (_, ids) = source(1_795_000_000_123);
    let made: Vec<ItemId> = (0..10_000).map(|_| ids.next()).collect();
    assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    let decimals: BTreeSet<u64> = made.iter().map(|id| id.decimal()).collect();
    assert_eq!(decimals.len(), made.len());
}

#[test]
fn ids_rise_when_the_clock_goes_back() {
    let (clock, ids) = source(1_795_000_000_123);
    let first: TurnId = ids.next();
    clock.0.store(1, Ordering::Relaxed);
    assert!(ids.next::<TurnId>() > first);
}

#[test]
fn ids_rise_past_one_that_another_process_made() {
    let (_, later) = source(1_795_000_009_999);
    let foreign: ItemId = later.next();
    let (_, ids) = source(1_795_000_000_000);
    ids.advance_past(foreign);
    assert!(ids.next::<ItemId>() > foreign);
}

#[test]
fn a_decimal_has_nineteen_digits() {
    let id: ConversationId = source(1_795_000_000_123).1.next();
    assert_eq!(id.decimal().to_string().len(), 19);
}

#[test]
fn text_that_is_not_an_id_is_refused() {
    for text in [
        "",
        "+0000000000000000000000000000000",
        "0",
        "zz",
        "00000000-0000",
    ] {
        assert_eq!(ConversationRef::from_hex(text), None, "{text}");
        assert_eq!(ConversationRef::from_dashed(text), None, "{text}");
    }
    for text in ["", "0", "01", "-1", "+1", "1e3", "99999999999999999999"] {
        assert_eq!(ConversationRef::from_decimal(text), None, "{text}");
    }
}

#[test]
fn an_id_that_no_dialect_knows_is_read_back_from_its_text() {
    let id = ReceiptId::from_bits(0xabc);
    assert_eq!(id.text(), "er_00000000000000000000000000000abc");
    assert_eq!(ReceiptId::parse(&id.text()), Some(id));
    for wrong in ["", "er_", "er_1", "00000000000000000000000000000abc"] {
        assert_eq!(ReceiptId::parse(wrong), None);
    }
    assert_eq!(HoldId::parse(&id.text()), None);
    assert_eq!(EventId::parse(&id.text()), None);
}

proptest! {
    #[test]
    fn every_text_form_names_its_id_and_its_id_alone(millis in 0_i64..1 << 42, other: u128) {
        let id: ConversationId = source(millis).1.next();
        let other = ConversationId::from_bits(other);
        for form in [
            ConversationRef::from_hex(&id.hex()),
            ConversationRef::from_dashed(&id.dashed()),
            ConversationRef::from_dashed(&id.dashed().to_uppercase()),
        ] {
            prop_assert_eq!(form, Some(id.into()));
            prop_assert_eq!(form.is_some_and(|form| form.names(other)), id == other);
        }
        if millis > 0 {
            let decimal = ConversationRef::from_decimal(&id.decimal().to_string());
            prop_assert_eq!(decimal, Some(ConversationRef::clashing_with(id)));
            prop_assert!(decimal.is_some_and(|form| form.names(id)));
        }
    }
}
