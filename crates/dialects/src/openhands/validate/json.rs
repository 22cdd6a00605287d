//! JSON as Python's `json` module reads it: the same words at the same place where it does not parse.
//!
//! FastAPI answers with that module's message and character offset. `serde_json` decides whether a
//! text is JSON; only when it is not does the scanner here say what is wrong with it.
//!
//! Source: CPython 3.12 `Modules/_json.c`, whose order of checks is followed.

use serde_json::Value;

const NAME: &str = "Expecting property name enclosed in double quotes";
const COLON: &str = "Expecting ':' delimiter";
const COMMA: &str = "Expecting ',' delimiter";
const VALUE: &str = "Expecting value";
const EXTRA: &str = "Extra data";
const CONTROL: &str = "Invalid control character at";
const UNTERMINATED: &str = "Unterminated string starting at";
const ESCAPE: &str = "Invalid \\escape";
const UNICODE: &str = "Invalid \\uXXXX escape";
/// As deep as `serde_json` goes.
const DEPTH_MAX: u32 = 128;

/// Why a body is no JSON.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::openhands) enum Bad {
    /// It breaks the grammar.
    Syntax {
        /// Where, in characters.
        at: usize,
        /// How, in Python's words.
        said: &'static str,
    },
    /// It is not UTF-8, too deep, or holds half a surrogate pair.
    Unreadable,
}

/// Reads a body.
pub(in crate::openhands) fn parse(body: &[u8]) -> Result<Value, Bad> {
    let text = std::str::from_utf8(body).map_err(|_| Bad::Unreadable)?;
    // Python takes a byte order mark for what it is.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(text).map_err(|_| diagnose(text))
}

fn diagnose(text: &str) -> Bad {
    let mut scan = Scan {
        bytes: text.as_bytes(),
        at: 0,
    };
    match scan.document() {
        Err(Stop::At(at, said)) => {
            let at = text.get(..at).map_or(at, |before| before.chars().count());
            Bad::Syntax { at, said }
        }
        Err(Stop::TooDeep) | Ok(()) => Bad::Unreadable,
    }
}

/// Why the scanner stops: at a byte, with words; or because it is deep enough.
enum Stop {
    At(usize, &'static str),
    TooDeep,
}

type Step = Result<(), Stop>;

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn is(&self, byte: u8) -> bool {
        self.peek() == Some(byte)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn fail(&self, said: &'static str) -> Step {
        Err(Stop::At(self.at, said))
    }

    fn document(&mut self) -> Step {
        self.space();
        self.value(0)?;
        self.space();
        if self.at < self.bytes.len() {
            return self.fail(EXTRA);
        }
        Ok(())
    }

    fn value(&mut self, depth: u32) -> Step {
        match self.peek() {
            Some(b'{' | b'[') if depth >= DEPTH_MAX => Err(Stop::TooDeep),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string(),
            Some(b'n') => self.literal(b"null"),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            _ => self.number(),
        }
    }

    fn literal(&mut self, literal: &[u8]) -> Step {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(literal) {
            return self.fail(VALUE);
        }
        self.at += literal.len();
        Ok(())
    }

    fn number(&mut self) -> Step {
        let start = self.at;
        if self.is(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(Stop::At(start, VALUE)),
        }
        let ahead = |offset: usize| self.bytes.get(self.at + offset).copied();
        if ahead(0) == Some(b'.') && ahead(1).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
            self.digits();
        }
        let ahead = |offset: usize| self.bytes.get(self.at + offset).copied();
        if matches!(ahead(0), Some(b'e' | b'E')) {
            let signed = usize::from(matches!(ahead(1), Some(b'+' | b'-')));
            if ahead(1 + signed).is_some_and(|byte| byte.is_ascii_digit()) {
                self.at += 1 + signed;
                self.digits();
            }
        }
        Ok(())
    }

    fn array(&mut self, depth: u32) -> Step {
        self.at += 1;
        self.space();
        if self.is(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth)?;
            if self.closes(b']')? {
                return Ok(());
            }
        }
    }

    fn object(&mut self, depth: u32) -> Step {
        self.at += 1;
        self.space();
        if self.is(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if !self.is(b'"') {
                return self.fail(NAME);
            }
            self.string()?;
            self.space();
            if !self.is(b':') {
                return self.fail(COLON);
            }
            self.at += 1;
            self.space();
            self.value(depth)?;
            if self.closes(b'}')? {
                return Ok(());
            }
        }
    }

    /// Whether the bracket closes here; else there must be a comma.
    fn closes(&mut self, bracket: u8) -> Result<bool, Stop> {
        self.space();
        if self.is(bracket) {
            self.at += 1;
            return Ok(true);
        }
        if !self.is(b',') {
            return Err(Stop::At(self.at, COMMA));
        }
        self.at += 1;
        self.space();
        Ok(false)
    }

    fn string(&mut self) -> Step {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(Stop::At(start, UNTERMINATED)),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape(start)?,
                Some(..=0x1f) => return self.fail(CONTROL),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self, start: usize) -> Step {
        match self.bytes.get(self.at + 1) {
            None => Err(Stop::At(start, UNTERMINATED)),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 2..self.at + 6).unwrap_or_default();
                // Python wants something to follow the digits, which the closing quote does.
                let followed = self.at + 6 < self.bytes.len();
                if digits.len() < 4 || !followed || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Stop::At(self.at + 1, UNICODE));
                }
                self.at += 6;
                Ok(())
            }
            Some(_) => self.fail(ESCAPE),
        }
    }
}
