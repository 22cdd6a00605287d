//! The filter that the body of `GET .../events` may hold.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Map, Serializer, Value};

use super::{Event, is_hidden};
use crate::openhands::validate::lax;

/// Which events are wanted.
#[derive(Debug, Default)]
pub(in crate::openhands) struct EventFilter {
    shown_only: bool,
    query: Option<String>,
    source: Option<String>,
    start_date: Option<String>,
    end_date: Option<String>,
}

impl EventFilter {
    /// Reads a checked body. Empty strings filter nothing.
    pub(in crate::openhands) fn of(body: &Map<String, Value>) -> Self {
        let text = |name: &str| {
            let text = body.get(name).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let hidden = body.get("exclude_hidden").map(lax::json_boolean);
        Self {
            shown_only: hidden.is_some_and(|hidden| hidden.unwrap_or(false)),
            query: text("query").map(|query| query.to_lowercase()),
            source: text("source"),
            start_date: text("start_date"),
            end_date: text("end_date"),
        }
    }

    /// Whether an event passes. Times are compared as text, as OpenHands does.
    pub(in crate::openhands) fn passes(&self, event: &Event) -> bool {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let (source, at) = (text("source"), text("timestamp"));
        self.source.as_deref().is_none_or(|wanted| wanted == source)
            && self.start_date.as_deref().is_none_or(|start| start <= at)
            && self.end_date.as_deref().is_none_or(|end| at <= end)
            && !(self.shown_only && is_hidden(event))
            && self.query.as_deref().is_none_or(|query| says(event, query))
    }
}

/// Whether the event's JSON holds the text, in any case. The JSON has Python's spaces, since that is
/// what clients search; but letters beyond ASCII are themselves there, so that they are found.
fn says(event: &Event, query: &str) -> bool {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Spaced);
    if event.serialize(&mut serializer).is_err() {
        return false;
    }
    String::from_utf8_lossy(&text)
        .to_lowercase()
        .contains(query)
}

/// `{"a": 1, "b": [2, 3]}`.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: io::Write + ?Sized>(
        &mut self,
        to: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        to: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { to.write_all(b", ") }
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b": ")
    }
}
