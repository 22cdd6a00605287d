use super::*;
use crate::model::{ItemsBucket, ProjectId, ReceiptState, unhex};
use crate::receipt_log::{ProvenEntry, verify_receipt};

fn notary(signing: u8) -> Notary {
    Notary::new(&[1; 32], &[signing; 32], "parlance 0").unwrap()
}

fn erasure() -> Erasure {
    Erasure {
        receipt: ReceiptId::from_bits(0xabc),
        project: ProjectId(1),
        conversation: ConversationId::from_bits(0x0192_f00d_cafe_7000_8000_1234_5678_9abc),
        commitment: Some([1; 32]),
        requested_at: Timestamp::from_micros(10),
        tombstoned_at: Timestamp::from_micros(20),
        key_destroyed_at: None,
        root_renewed_at: None,
        is_renewed: false,
        is_purged: true,
        items: ItemsBucket::of(3),
    }
}

/// The first batch of a log: one statement, of this.
fn state(signing: u8, due: Due) -> NewBatch {
    let now = Timestamp::from_micros(30);
    let stated = notary(signing).state(&LogHead::default(), now, &[due]);
    stated.unwrap()
}

/// The receipt of the only entry, as it is given out.
fn given(batch: &NewBatch) -> String {
    let entry = ProvenEntry {
        place: 0,
        statement: batch.entries[0].statement.clone(),
        first: batch.first,
        leaves: batch.leaves.clone(),
        signed: batch.signed.clone(),
    };
    entry.text().unwrap()
}

#[test]
fn the_text_is_the_same_for_the_same_facts_and_holds_no_raw_id() {
    let erasure = erasure();
    let text = || given(&state(2, Due::Erasure(erasure.clone())));
    assert_eq!(text(), text());
    let (hex, dashed) = (erasure.conversation.hex(), erasure.conversation.dashed());
    let decimal = erasure.conversation.decimal().to_string();
    for raw in [hex, dashed, decimal] {
        assert!(!text().contains(&raw), "{raw}");
    }
    let salt = notary(2).salt(erasure.receipt);
    assert!(!text().contains(salt.expose()));
}

#[test]
fn the_salt_leads_from_the_conversation_to_the_subject() {
    let (notary, erasure) = (notary(2), erasure());
    let salt = notary.salt(erasure.receipt);
    let salt: [u8; 32] = unhex(salt.expose()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salt);
    let tag = hmac::sign(&key, &erasure.conversation.bits().to_be_bytes());
    let subject = notary.subject(erasure.receipt, erasure.conversation);
    assert_eq!(tag.as_ref(), subject);
    let text = given(&state(2, Due::Erasure(erasure.clone())));
    assert!(text.contains(&format!("\"subject\":\"{}\"", hex(&subject))));
    let another = ReceiptId::from_bits(0xabd);
    assert_ne!(notary.subject(another, erasure.conversation), subject);
}

/// A receipt as it was signed before there was a log.
fn signed_alone() -> String {
    let batch = state(2, Due::Erasure(erasure()));
    let mut alone = Canonical::read(&batch.entries[0].statement).unwrap();
    alone.remove("log");
    alone.insert("signature", Canonical::text("ed25519:00"));
    alone.to_string()
}

#[test]
fn a_receipt_of_before_there_was_a_log_comes_into_it_as_it_is() {
    let (receipt, json) = (erasure().receipt, signed_alone());
    let carried = json.replace("parlance 0", "parlance before");
    let later = LogHead {
        tree: state(2, Due::Erasure(erasure())).after.tree,
        ..LogHead::default()
    };
    let due = [Due::Carried {
        receipt,
        json: carried.clone(),
    }];
    let batch = notary(2).state(&later, Timestamp::from_micros(99), &due);
    let entry = &batch.unwrap().entries[0];
    let stated = Stated::Receipt {
        receipt,
        project: ProjectId(1),
        state: ReceiptState::Complete,
        key_destroyed_at: Some(Timestamp::from_micros(30)),
        root_renewed_at: None,
    };
    assert_eq!(entry.of, stated);
    let (mut said, mut wanted) = (
        Canonical::read(&entry.statement).unwrap(),
        Canonical::read(&carried).unwrap(),
    );
    let place = said.remove("log");
    assert_eq!(place.unwrap().get("index"), Some(&Canonical::Integer(1)));
    wanted.remove("signature");
    assert_eq!(said, wanted);
}

#[test]
fn what_cannot_be_carried_over_is_named() {
    for (json, member) in [
        ("{}", "v"),
        ("", "v"),
        (&*signed_alone().replace("L2", "L9"), "level"),
    ] {
        let receipt = erasure().receipt;
        let due = [Due::Carried {
            receipt,
            json: json.to_owned(),
        }];
        let stated = notary(2).state(&LogHead::default(), Timestamp::default(), &due);
        assert_eq!(stated.unwrap_err(), Unreadable { receipt, member });
    }
}

#[test]
fn a_receipt_verifies_alone_and_any_change_of_a_byte_breaks_it() {
    let (key, batch) = (
        notary(2).public_key().clone(),
        state(2, Due::Erasure(erasure())),
    );
    let text = given(&batch);
    let vouched = verify_receipt(text.as_bytes(), &key).unwrap();
    assert_eq!((vouched.place, vouched.leaf), (0, batch.leaves[0]));
    assert_eq!(vouched.receipt.id, erasure().receipt);
    assert!(verify_receipt(format!("{text}\n").as_bytes(), &key).is_ok());
    for at in 0..text.len() {
        for mask in [1, 0x20, 0x80] {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= mask;
            assert!(verify_receipt(&changed, &key).is_err(), "{at} {mask}");
        }
    }
    assert!(verify_receipt(text.as_bytes(), notary(3).public_key()).is_err());
}

#[test]
fn nothing_comes_into_a_proof_that_nobody_has_signed() {
    let key = notary(2).public_key().clone();
    let text = given(&state(2, Due::Erasure(erasure())));
    for wrong in [
        text.replace("\"path\":[]", "\"a\":1,\"path\":[]"),
        text.replace("\"path\":[]", "\"path\":[],\"z\":1"),
        text.replace("\"path\":[]", "\"path\":[null]"),
        text.replace("\"path\":[]", "\"path\":{}"),
        text.replace(",\"path\":[]", ""),
    ] {
        assert_ne!(wrong, text);
        assert!(verify_receipt(wrong.as_bytes(), &key).is_err(), "{wrong}");
    }
}
