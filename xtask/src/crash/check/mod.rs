//! Compares what a server has with what its clients were told. What was unknown is known afterwards.

mod events;

pub(super) use events::{BEGINS, ENDS};

use std::collections::BTreeMap;

use crate::crash::canary;
use crate::crash::dialect::{Dialect, decimal};
use crate::crash::journal::{
    Answered, Cell, Conversation, Entry, Item, Kind, Known, Pairs, Presence,
};
use crate::crash::read::{Row, RowId, Seen, in_decimal};

/// Where an item is in the journal: its entry, and its place there; none for the answer.
type Slot = (usize, Option<usize>);

/// Everything that is wrong with a conversation, in words.
pub(super) fn check(of: &mut Conversation, seen: &Seen) -> Vec<String> {
    let mut wrong = values(of, seen);
    let all: [(Dialect, &[Row]); 4] = [
        // Those that show most come first, so that the others are compared with what is known then.
        (Dialect::OpenAi, &seen.openai),
        (Dialect::OpenHands, &seen.openhands),
        (Dialect::Coze, &seen.coze),
        (Dialect::Dify, &seen.dify),
    ];
    for (dialect, rows) in all {
        let found = Comparison::new(of, dialect).run(rows);
        wrong.extend(
            found
                .into_iter()
                .map(|what| format!("{}: {what}", dialect.name())),
        );
    }
    wrong.extend(turns(of, seen));
    wrong.extend(events::check(of, &seen.openhands));
    wrong.extend(same(&all));
    of.entries.retain(|entry| entry.known != Known::Refused);
    (of.touched, of.loose) = (false, false);
    wrong
}

fn values(of: &mut Conversation, seen: &Seen) -> Vec<String> {
    let mut wrong = Vec::new();
    let [openai, coze] = &seen.metadata;
    if openai != coze {
        wrong.push(format!("OpenAI has the metadata {openai:?}, Coze {coze:?}"));
    }
    wrong.extend(value::<Pairs>("metadata", &mut of.metadata, openai));
    wrong.extend(value("title", &mut of.title, &seen.title));
    if let Some(title) = &of.title.held
        && *title != seen.shown_title
    {
        let shown = &seen.shown_title;
        wrong.push(format!("the title is {title:?}, OpenHands has {shown:?}"));
    }
    wrong.extend(value("agent", &mut of.active, &seen.active));
    let unsettled = of.section.sent.take().is_some();
    if !unsettled && of.section.held.is_some_and(|held| held != seen.section) {
        let (held, is) = (of.section.held, seen.section);
        wrong.push(format!("the section is {is}, not {held:?}"));
    }
    of.section = Cell::new(Some(seen.section));
    wrong
}

fn value<T>(what: &str, cell: &mut Cell<T>, seen: &T) -> Option<String>
where
    T: PartialEq + Clone + std::fmt::Debug,
{
    let before = cell.clone();
    if cell.settle(seen) {
        return None;
    }
    Some(format!(
        "the {what} is {seen:?}, the journal has {before:?}"
    ))
}

/// Turns that ran when the server was killed have failed, no others.
fn turns(of: &Conversation, seen: &Seen) -> Vec<String> {
    let questions = seen
        .messages
        .iter()
        .filter(|message| !message.query.is_empty());
    let wrong = questions.filter(|message| {
        let canary = canary::within(&message.query);
        let asked = |entry: &&Entry| {
            let first = entry.items.first().map(|item| item.canary.as_str());
            entry.answer.is_some() && first == canary
        };
        let answer = of.entries.iter().find(asked);
        let answer = answer.and_then(|entry| entry.answer.as_ref());
        let failed = answer.is_some_and(|answer| answer.state == Answered::Failed);
        failed != message.failed
    });
    wrong
        .map(|message| {
            let is = if message.failed {
                "has failed"
            } else {
                "has not failed"
            };
            format!("the turn of {} {is}", brief(&message.query))
        })
        .collect()
}

/// What user and assistant have said is the same in all dialects, in the same order.
fn same(all: &[(Dialect, &[Row])]) -> Vec<String> {
    let spoken = |rows: &[Row]| -> Vec<(Kind, String)> {
        let spoken = |row: &&Row| matches!(row.kind, Kind::User | Kind::Assistant);
        let rows = rows.iter().filter(spoken);
        rows.map(|row| (row.kind, row.text.clone())).collect()
    };
    let mut rest = all.iter().map(|(dialect, rows)| (dialect, spoken(rows)));
    let Some((_, first)) = rest.next() else {
        return Vec::new();
    };
    rest.filter(|(_, rows)| *rows != first)
        .map(|(dialect, _)| format!("{} and OpenAI tell another dialogue", dialect.name()))
        .collect()
}

/// One dialect's rows beside the journal.
struct Comparison<'a> {
    of: &'a mut Conversation,
    dialect: Dialect,
    places: BTreeMap<(String, bool), Slot>,
    seen: BTreeMap<Slot, RowId>,
    wrong: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn new(of: &'a mut Conversation, dialect: Dialect) -> Self {
        let mut places = BTreeMap::new();
        for (at, entry) in of.entries.iter().enumerate() {
            for (place, item) in entry.items.iter().enumerate() {
                places.insert((item.canary.clone(), false), (at, Some(place)));
            }
            if let Some(answer) = &entry.answer {
                places.insert((answer.item.canary.clone(), true), (at, None));
            }
        }
        Self {
            of,
            dialect,
            places,
            seen: BTreeMap::new(),
            wrong: Vec::new(),
        }
    }

    fn run(mut self, rows: &[Row]) -> Vec<String> {
        self.rising(rows);
        let mut last: Option<Slot> = None;
        for row in rows {
            if events::is_agents(self.of, row) || events::is_own(row) {
                continue;
            }
            let slot = self.row(row);
            self.order(last, slot);
            last = slot.filter(|(_, place)| place.is_some()).or(last);
        }
        for at in 0..self.of.entries.len() {
            self.entry(at);
        }
        self.wrong
    }

    /// Ids rise, so that none is there twice.
    fn rising(&mut self, rows: &[Row]) {
        let number = |row: &Row| match row.id {
            RowId::Whole(bits) => Some(bits),
            RowId::Decimal(number) | RowId::Number(number) => Some(u128::from(number)),
            RowId::None => None,
        };
        // An answer of the agent's beside which something was said has another id in OpenAI's dialect.
        let all = rows.iter().filter(|row| !events::is_agents(self.of, row));
        let numbers: Vec<u128> = all.filter_map(number).collect();
        if !numbers.is_sorted_by(|one, other| one < other) {
            self.wrong
                .push(format!("the ids do not rise: {numbers:x?}"));
        }
    }

    /// Finds a row in the journal and compares the two.
    fn row(&mut self, row: &Row) -> Option<Slot> {
        let text = brief(&row.text);
        let canary = canary::within(&row.text).unwrap_or_default();
        let own = self.places.get(&(canary.to_owned(), false)).copied();
        let answer = self.places.get(&(canary.to_owned(), true)).copied();
        let asked = own.and_then(|(at, _)| self.of.entries.get(at));
        let is_answer = row.kind == Kind::Assistant && asked.is_some_and(|e| e.answer.is_some());
        let Some(slot) = (if is_answer { answer } else { own }) else {
            self.wrong.push(format!("nobody wrote {text}"));
            return None;
        };
        if self.seen.insert(slot, row.id).is_some() {
            self.wrong.push(format!("{text} is there twice"));
        }
        let item = self.item(slot)?;
        let mut wrong = Vec::new();
        if item.kind != row.kind {
            wrong.push(format!(
                "{text} is of kind {:?}, not {:?}",
                row.kind, item.kind
            ));
        }
        let before = item.text.clone();
        if !item.text.settle(&row.text) {
            let before = (before.held.len(), before.sent.map(|sent| sent.len()));
            let is = row.text.len();
            wrong.push(format!(
                "{text} has {is} bytes, was written with {before:?}"
            ));
        }
        match (item.id, row.id) {
            (None, RowId::Whole(bits)) => item.id = Some(bits),
            (Some(bits), id) if in_decimal(id).is_some_and(|seen| seen != decimal(bits)) => {
                wrong.push(format!("{text} has the id {id:x?}, not {bits:x}"));
            }
            _ => {}
        }
        self.wrong.extend(wrong);
        Some(slot)
    }

    fn item(&mut self, (at, place): Slot) -> Option<&mut Item> {
        let entry = self.of.entries.get_mut(at)?;
        match place {
            Some(place) => entry.items.get_mut(place),
            None => entry.answer.as_mut().map(|answer| &mut answer.item),
        }
    }

    /// Items are in the order of their calls, and those of one call together; an answer comes after
    /// its question.
    fn order(&mut self, last: Option<Slot>, slot: Option<Slot>) {
        let Some(slot @ (at, place)) = slot else {
            return;
        };
        let step = |at: usize| self.of.entries.get(at).map(|entry| entry.step);
        let wrong = match (last, place) {
            (_, None) => {
                let question = self
                    .of
                    .entries
                    .get(at)
                    .and_then(|entry| entry.items.first());
                let there = question.is_some_and(|item| item.presence == Presence::There);
                let shown = self.seen.contains_key(&(at, Some(0)));
                (there && !shown).then_some("an answer comes before its question")
            }
            (Some(last), Some(_)) if last.0 == at => {
                (last >= slot).then_some("a call's items are out of order")
            }
            (Some(last), Some(_)) => {
                let before = self.seen.range((at, Some(0))..slot).next().is_some();
                if step(last.0) > step(at) {
                    Some("items are out of order")
                } else {
                    before.then_some("a call's items are apart")
                }
            }
            (None, Some(_)) => None,
        };
        self.wrong.extend(wrong.map(str::to_owned));
    }

    const fn shows(dialect: Dialect, kind: Kind) -> bool {
        match kind {
            Kind::User | Kind::Assistant => true,
            Kind::System | Kind::Call => matches!(dialect, Dialect::OpenAi),
            Kind::Event => matches!(dialect, Dialect::OpenHands),
        }
    }

    /// Compares what is there of a call with what is known of it.
    fn entry(&mut self, at: usize) {
        let dialect = self.dialect;
        let Some(entry) = self.of.entries.get_mut(at) else {
            return;
        };
        let mut wrong = Vec::new();
        let (mut there, mut missing) = (0, 0);
        for (place, item) in entry.items.iter_mut().enumerate() {
            if !Self::shows(dialect, item.kind) {
                continue;
            }
            let seen = self.seen.contains_key(&(at, Some(place)));
            if item.presence == Presence::Leaving {
                item.presence = if seen {
                    Presence::There
                } else {
                    Presence::Gone
                };
            }
            let deleted = item.presence == Presence::Gone;
            let canary = &item.canary;
            match (entry.known, deleted, seen) {
                (_, true, true) => wrong.push(format!("{canary} was deleted and is there")),
                (Known::Acknowledged, false, false) => {
                    wrong.push(format!("{canary} was acknowledged and is not there"));
                }
                (Known::Refused, _, true) => {
                    wrong.push(format!("{canary} was not taken and is there"));
                }
                _ => {}
            }
            there += u32::from(seen);
            missing += u32::from(!seen && !deleted);
        }
        if entry.known == Known::Sent && there + missing > 0 {
            if there > 0 && missing > 0 {
                let all = there + missing;
                wrong.push(format!("a call is half there: {there} of {all} items"));
            }
            entry.known = if there > 0 {
                Known::Acknowledged
            } else {
                Known::Refused
            };
        }
        let known = entry.known;
        if let Some(answer) = &mut entry.answer {
            let seen = self.seen.contains_key(&(at, None));
            let canary = &answer.item.canary;
            match (known, answer.state, seen) {
                (Known::Refused, _, true) => wrong.push(format!("{canary} was not asked")),
                (_, Answered::Perhaps, true) => answer.state = Answered::Yes,
                (_, Answered::Perhaps, false) => answer.state = Answered::Failed,
                (Known::Acknowledged, Answered::Yes, false) => {
                    wrong.push(format!("the answer to {canary} was given and is not there"));
                }
                (_, Answered::Failed, true) => {
                    wrong.push(format!("the turn of {canary} failed and has an answer"));
                }
                _ => {}
            }
        }
        self.wrong.extend(wrong);
    }
}

/// The beginning of a text.
fn brief(text: &str) -> String {
    let brief: String = text.chars().take(40).collect();
    format!("{brief:?}")
}

#[cfg(test)]
mod tests;
