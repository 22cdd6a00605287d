//! The least that HTTP/1.1 needs of a client that knows its server: one connection, one request at a
//! time, answers with `content-length`.

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEAD_END: &[u8] = b"\r\n\r\n";
/// hyper writes names in lower case.
const LENGTH: &[u8] = b"content-length: ";

/// A connection that stays open.
pub(super) struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(super) async fn connect(address: &str) -> anyhow::Result<Self> {
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

    /// Sends a request and gives the body of its answer, which has to be 200.
    pub(super) async fn call(&mut self, request: &[u8]) -> anyhow::Result<&[u8]> {
        self.stream
            .write_all(request)
            .await
            .context("could not send")?;
        self.answer.clear();
        loop {
            if let Some(whole) = measure(&self.answer)?
                && self.answer.len() >= whole.end
            {
                return Ok(self.answer.get(whole).unwrap_or_default());
            }
            if self
                .stream
                .read_buf(&mut self.answer)
                .await
                .context("could not receive")?
                == 0
            {
                bail!("the server has closed the connection");
            }
        }
    }
}

/// Where the body will be, once the head is there.
fn measure(answer: &[u8]) -> anyhow::Result<Option<std::ops::Range<usize>>> {
    let Some(head_len) = find(answer, HEAD_END) else {
        return Ok(None);
    };
    let head = answer.get(..head_len).unwrap_or_default();
    if !head.starts_with(b"HTTP/1.1 200") {
        bail!("an answer is not 200: {}", String::from_utf8_lossy(answer));
    }
    let at = find(head, LENGTH).context("an answer has no length")? + LENGTH.len();
    let digits = head
        .get(at..)
        .unwrap_or_default()
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    let start = head_len + HEAD_END.len();
    Ok(Some(start..start + length))
}

/// Where `needle` begins.
pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
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
}
