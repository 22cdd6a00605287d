//! Server-sent events, out of bytes that may be cut anywhere (WHATWG HTML, section 9.2.6).

use memchr::memchr2;

/// Most bytes of one event: a whole answer may come in one.
const EVENT_BYTES_MAX: usize = 8 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads events. Only their data count here: models' servers give events no other meaning.
#[derive(Default)]
pub(super) struct Events {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The data of the event so far, a line feed after each line.
    data: Vec<u8>,
    /// Whether `data` has been given out.
    given: bool,
    /// Whether the last byte was a carriage return, so that a line feed belongs to it.
    returned: bool,
    /// Whether a line has been read.
    begun: bool,
}

/// An event is larger than anybody's should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Events {
    /// Takes bytes from the front of `input` until an event is complete, and gives its data; none when all
    /// are taken.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, TooLarge> {
        if std::mem::take(&mut self.given) {
            self.data.clear();
        }
        loop {
            if self.returned && !input.is_empty() {
                self.returned = false;
                *input = input.strip_prefix(b"\n").unwrap_or(input);
            }
            let Some(end) = memchr2(b'\n', b'\r', input) else {
                self.room(input.len())?;
                self.line.extend_from_slice(input);
                *input = &[];
                return Ok(None);
            };
            let (line, rest) = input.split_at(end);
            self.returned = rest.first() == Some(&b'\r');
            *input = rest.get(1..).unwrap_or_default();
            if self.end_line(line)? {
                return Ok(Some(self.give()));
            }
        }
    }

    /// The data of an event that the end of the bytes has cut off before its empty line; none if there is
    /// none. Some servers leave the last empty line out.
    pub(super) fn last(&mut self) -> Result<Option<&[u8]>, TooLarge> {
        if std::mem::take(&mut self.given) {
            self.data.clear();
        }
        self.end_line(&[])?;
        Ok((!self.data.is_empty()).then(|| self.give()))
    }

    fn give(&mut self) -> &[u8] {
        self.given = true;
        self.data.strip_suffix(b"\n").unwrap_or(&self.data)
    }

    /// Reads a line, whose beginning may have come before; whether it ends an event.
    fn end_line(&mut self, end: &[u8]) -> Result<bool, TooLarge> {
        self.room(end.len())?;
        if self.line.is_empty() {
            return Ok(self.take_line(end));
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(end);
        let ends = self.take_line(&line);
        // Its room is used again.
        line.clear();
        self.line = line;
        Ok(ends)
    }

    fn take_line(&mut self, mut line: &[u8]) -> bool {
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            return !self.data.is_empty();
        }
        // Anything else is a comment, or a field without a meaning here.
        if let Some(value) = line.strip_prefix(b"data") {
            let value = match value.split_first() {
                None => Some(value),
                Some((b':', value)) => Some(value.strip_prefix(b" ").unwrap_or(value)),
                Some(_) => None,
            };
            if let Some(value) = value {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
        }
        false
    }

    fn room(&self, more: usize) -> Result<(), TooLarge> {
        let held = self.line.len().saturating_add(self.data.len());
        if held.saturating_add(more) > EVENT_BYTES_MAX {
            return Err(TooLarge);
        }
        Ok(())
    }
}
