//! What a command's user sees: data on standard output, everything else on standard error, and how far it
//! is: a bar on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;

use super::Piece;
use crate::telemetry;

/// How wide the bar is.
const BAR_CHARS: u64 = 30;
/// After how many a line tells how far it is, where there is no terminal.
const TOLD_EVERY: u64 = 10_000;
/// Goes to the beginning of the line and clears it.
const CLEAR: &str = "\r\u{1b}[K";

/// Where pieces are printed.
pub(crate) struct Screen<'o> {
    out: &'o mut (dyn Write + Send),
    has_bar: bool,
    /// What the bar shows, if it is there.
    bar: Option<String>,
    /// How many were done when it was last told.
    told: u64,
}

impl<'o> Screen<'o> {
    /// Prints data to `out`.
    pub(crate) fn new(out: &'o mut (dyn Write + Send)) -> Self {
        Self {
            out,
            has_bar: io::stderr().is_terminal(),
            bar: None,
            told: 0,
        }
    }

    /// Prints a piece.
    pub(super) fn print(&mut self, piece: &Piece) -> anyhow::Result<()> {
        match piece {
            Piece::Data(data) => {
                self.clear();
                self.out
                    .write_all(data.as_bytes())
                    .context("could not write to standard output")
            }
            Piece::Note(note) => {
                self.clear();
                telemetry::complain(note);
                Ok(())
            }
            Piece::Progress { done, total } if self.has_bar => {
                self.draw(bar(*done, *total));
                Ok(())
            }
            Piece::Progress { done, total } => {
                if *done / TOLD_EVERY > self.told / TOLD_EVERY {
                    telemetry::complain(&format!("erased {done} of about {total}"));
                }
                self.told = *done;
                Ok(())
            }
        }
    }

    fn draw(&mut self, bar: String) {
        if self.bar.as_ref() != Some(&bar) {
            show(&format!("{CLEAR}{bar}"));
            self.bar = Some(bar);
        }
    }

    fn clear(&mut self) {
        if self.bar.take().is_some() {
            show(CLEAR);
        }
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Writes to the terminal. Nobody is told if it is gone: what is done does not depend on it.
fn show(text: &str) {
    let mut terminal = io::stderr();
    drop(write!(terminal, "{text}").and_then(|()| terminal.flush()));
}

/// `[#####-----] 50 %  5000 of about 10000`.
fn bar(done: u64, total: u64) -> String {
    let share = |whole: u64| {
        done.saturating_mul(whole)
            .checked_div(total)
            .unwrap_or(whole)
    };
    let filled = share(BAR_CHARS).min(BAR_CHARS);
    let mut text = "[".to_owned();
    text.extend((0..BAR_CHARS).map(|at| if at < filled { '#' } else { '-' }));
    format!(
        "{text}] {:>3} %  {done} of about {total}",
        share(100).min(100)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_the_share_that_is_done() {
        assert_eq!(
            bar(5, 10),
            "[###############---------------]  50 %  5 of about 10"
        );
        assert!(bar(0, 10).starts_with("[-") && bar(0, 10).contains("  0 %"));
        assert!(bar(10, 10).contains("#] 100 %"));
        assert!(bar(0, 0).contains("100 %"), "nothing is all");
    }

    #[test]
    fn data_go_to_the_output_alone() {
        let mut out = Vec::new();
        let mut screen = Screen::new(&mut out);
        for piece in [
            Piece::Data("one\n".to_owned()),
            Piece::Progress { done: 1, total: 2 },
            Piece::Data("two\n".to_owned()),
        ] {
            screen.print(&piece).unwrap();
        }
        drop(screen);
        assert_eq!(out, b"one\ntwo\n");
    }
}
