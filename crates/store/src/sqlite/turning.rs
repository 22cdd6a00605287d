//! Begins, ends and removes turns, inside the transaction of their batch.

use parlance_domain::store::StoreError;
use rusqlite::{Connection, params};

use super::apply::{Head, Scope};
use super::encode::Addition;
use super::sql;
use super::value::{Bits, Trouble, number};

/// Begins or ends a turn's own row. `first_seq` is the number of the first item that comes with it.
pub(super) fn note(
    db: &Connection,
    scope: Scope,
    head: &mut Head,
    (at, first_seq): (i64, i64),
    addition: &Addition,
) -> Result<(), Trouble> {
    match addition {
        Addition::Alone => {}
        Addition::Start { turn, app, record } => {
            let inserted = db.prepare_cached(sql::START_TURN)?.execute(params![
                scope.project,
                scope.conversation,
                turn,
                at,
                first_seq,
                app,
                head.owner.base(),
                record,
            ])?;
            if inserted == 0 {
                return Err(StoreError::IdClash.into());
            }
            head.running = Some(*turn);
            head.turns = head.turns.saturating_add(1);
        }
        Addition::Finish {
            turn,
            state,
            usage,
            record,
        } => {
            db.prepare_cached(sql::FINISH_TURN)?.execute(params![
                scope.project,
                scope.conversation,
                turn,
                state,
                at,
                first_seq,
                head.next_seq,
                number(usage.input_tokens),
                number(usage.cached_tokens),
                number(usage.output_tokens),
                number(usage.reasoning_tokens),
                record,
            ])?;
            head.running = None;
        }
    }
    Ok(())
}

/// Forgets a turn that does not run.
pub(super) fn remove(
    db: &Connection,
    scope: Scope,
    head: &mut Head,
    turn: Bits,
) -> Result<(), Trouble> {
    if head.running == Some(turn) {
        return Err(StoreError::TurnRunning.into());
    }
    let removed = db.prepare_cached(sql::REMOVE_TURN)?.execute(params![
        scope.project,
        scope.conversation,
        turn
    ])?;
    if removed == 0 {
        return Err(StoreError::NoTurn.into());
    }
    head.turns = head.turns.saturating_sub(1);
    Ok(())
}
