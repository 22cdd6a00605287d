//! The least that HTTP/1.1 needs of a client that knows its server: one connection, one request at a
//! time, answers with `content-length` or in chunks.

use std::ops::Range;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const GOOD: &[u8] = b"HTTP/1.1 200";
const HEAD_END: &[u8] = b"\r\n\r\n";
/// hyper writes names in lower case.
const LENGTH: &[u8] = b"content-length: ";
const CHUNKED: &[u8] = b"transfer-encoding: chunked";
/// What comes before the status.
const VERSION: &[u8] = b"HTTP/1.1 ";

/// A connection that stays open.
pub(crate) struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

/// An answer that has come whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its body, out of its chunks.
    pub(crate) body: Vec<u8>,
}

/// What has come of an answer.
#[derive(Debug)]
pub(crate) enum Asked {
    /// All of it.
    Whole(Answer),
    /// The connection broke off after these bytes of the body, chunks and all.
    Broken(Vec<u8>),
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .context("could not connect")?;
        stream
            .set_nodelay(true)
            .context("could not set `nodelay`")?;
        Ok(Self {
            stream,
            answer: Vec::with_capacity(1 << 16),
        })
    }

    /// Sends a request and gives the body of its answer, which has to be 200 and of a known length.
    pub(crate) async fn call(&mut self, request: &[u8]) -> anyhow::Result<&[u8]> {
        self.send(request).await?;
        loop {
            if let Some(whole) = measure(&self.answer)?
                && self.answer.len() >= whole.end
            {
                return Ok(self.answer.get(whole).unwrap_or_default());
            }
            if !self.more().await? {
                bail!("the server has closed the connection");
            }
        }
    }

    /// Sends a request; its answer is for [`Client::answer`] or [`Client::beginning`].
    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.answer.clear();
        self.stream
            .write_all(request)
            .await
            .context("could not send")
    }

    /// The answer to what was sent, whatever its status.
    pub(crate) async fn answer(&mut self) -> Asked {
        loop {
            if let Some(answer) = whole(&self.answer) {
                return Asked::Whole(answer);
            }
            // An error is an end like any other: the bytes before it are what counts.
            if !self.more().await.unwrap_or(false) {
                return Asked::Broken(body(&self.answer).to_owned());
            }
        }
    }

    /// Waits for the first bytes of a good answer's body, for those who then leave. False if the
    /// connection breaks off before, or the answer is none of those.
    pub(crate) async fn beginning(&mut self) -> bool {
        while body(&self.answer).is_empty() {
            if !self.more().await.unwrap_or(false) {
                return false;
            }
        }
        self.answer.starts_with(GOOD)
    }

    async fn more(&mut self) -> anyhow::Result<bool> {
        let read = self.stream.read_buf(&mut self.answer).await;
        Ok(read.context("could not receive")? > 0)
    }
}

/// A request with a bearer key, ready to be sent. No body where there is no text.
pub(crate) fn request(address: &str, key: &str, method: &str, path: &str, body: &str) -> Vec<u8> {
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n");
    let length = if body.is_empty() {
        String::new()
    } else {
        let length = body.len();
        format!("content-type: application/json\r\ncontent-length: {length}\r\n")
    };
    format!("{head}{length}\r\n{body}").into_bytes()
}

/// What has come of the body.
fn body(answer: &[u8]) -> &[u8] {
    let start = find(answer, HEAD_END).map(|head| head + HEAD_END.len());
    start
        .and_then(|start| answer.get(start..))
        .unwrap_or_default()
}

/// The whole answer, once it is there.
fn whole(answer: &[u8]) -> Option<Answer> {
    let head = answer.get(..find(answer, HEAD_END)?)?;
    let digits = head.strip_prefix(VERSION)?.get(..3)?;
    let status = u16::try_from(number(digits)).ok()?;
    let body = if find(head, CHUNKED).is_some() {
        chunks(body(answer))?
    } else {
        let length = find(head, LENGTH).map_or(0, |at| {
            number(head.get(at + LENGTH.len()..).unwrap_or_default())
        });
        body(answer).get(..length)?.to_owned()
    };
    Some(Answer { status, body })
}

/// The content of chunks, once the last one is there.
fn chunks(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let line = find(text, b"\r\n")?;
        let digits = std::str::from_utf8(text.get(..line)?).ok()?;
        let size = usize::from_str_radix(digits.trim(), 16).ok()?;
        let start = line + 2;
        content.extend_from_slice(text.get(start..start + size)?);
        // The line that ends the chunk belongs to it.
        text = text.get(start + size + 2..)?;
        if size == 0 {
            return Some(content);
        }
    }
}

/// Where the body will be, once the head is there.
fn measure(answer: &[u8]) -> anyhow::Result<Option<Range<usize>>> {
    let Some(head_len) = find(answer, HEAD_END) else {
        return Ok(None);
    };
    let head = answer.get(..head_len).unwrap_or_default();
    if !head.starts_with(GOOD) {
        bail!("an answer is not 200: {}", String::from_utf8_lossy(answer));
    }
    let at = find(head, LENGTH).context("an answer has no length")? + LENGTH.len();
    let length = number(head.get(at..).unwrap_or_default());
    let start = head_len + HEAD_END.len();
    Ok(Some(start..start + length))
}

/// The number that a text begins with.
fn number(text: &[u8]) -> usize {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
}

/// Where `needle` begins.
pub(crate) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_measured_once_its_head_is_there() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"id\"";
        assert_eq!(measure(&answer[..30]).expect("right so far"), None);
        assert_eq!(measure(answer).expect("right"), Some(39..51));
    }

    #[test]
    fn an_answer_that_is_not_200_ends_the_measurement() {
        assert!(measure(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").is_err());
    }

    #[test]
    fn an_answer_in_chunks_is_whole_with_its_last_chunk() {
        let text =
            b"HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        assert_eq!(whole(&text[..text.len() - 5]), None);
        let answer = Answer {
            status: 404,
            body: b"ab".to_vec(),
        };
        assert_eq!(whole(text), Some(answer));
    }

    #[test]
    fn an_answer_without_a_body_is_whole_with_its_head() {
        let answer = Answer {
            status: 204,
            body: Vec::new(),
        };
        assert_eq!(whole(b"HTTP/1.1 204 No Content\r\n\r\n"), Some(answer));
    }
}
