//! `cargo xtask bench --deletes`: how long the answer to a delete takes, for conversations of different
//! sizes, and what other clients notice while the rows are swept.
//!
//! Invariant: whatever is measured goes over HTTP, to the server as it is shipped. The database is only
//! looked into, to see when no rows are left.

pub(super) mod others;
pub(super) mod plant;
pub(super) mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use rusqlite::{Connection, OpenFlags};
use tokio::time::{Instant, sleep};

use crate::conformance::Server;
use crate::http::{Client, request};
use crate::tools::say;
use others::Others;
use table::Table;

/// Items of the conversations that are deleted, unless told otherwise.
const SIZES_DEFAULT: &[usize] = &[1_000, 100_000, 1_000_000];
/// Items of all conversations of one size, about: the small ones are many.
const ITEMS_PER_SIZE: usize = 2_000_000;
/// Most conversations of one size.
const COUNT_MAX: usize = 100;
/// How long others write without any delete, before the deletes and after them.
const CONTROL: Duration = Duration::from_secs(10);
/// Items that are deleted before their rows are waited for.
const ITEMS_AT_ONCE: usize = 10_000;
/// How often the database is looked into.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long rows may be left. It is far beyond the goal, so that a miss of that is measured.
const PATIENCE: Duration = Duration::from_mins(10);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    sizes: Vec<usize>,
    count: Option<usize>,
}

impl Options {
    /// Reads `[--sizes N,N...] [--count N]`.
    pub(super) fn read(words: &[&str]) -> anyhow::Result<Self> {
        let mut options = Self {
            sizes: SIZES_DEFAULT.to_owned(),
            count: None,
        };
        let number = |word: &str| match word.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => bail!("`{word}` is no whole number from 1 on"),
        };
        for pair in words.chunks(2) {
            match pair {
                ["--sizes", sizes] => {
                    options.sizes = sizes.split(',').map(number).collect::<Result<_, _>>()?;
                }
                ["--count", count] => options.count = Some(number(count)?),
                _ => bail!("`bench --deletes` does not know `{}`", pair.join(" ")),
            }
        }
        Ok(options)
    }

    /// How many conversations of a size are deleted.
    fn count(&self, size: usize) -> usize {
        let fitting = (ITEMS_PER_SIZE / size).clamp(1, COUNT_MAX);
        self.count.unwrap_or(fitting)
    }
}

/// What the deletes of one size have come to.
#[derive(Debug, Default)]
struct Deleted {
    /// From the request to the answer, of each.
    answers: Vec<Duration>,
    /// From an answer until no rows were left, of each round.
    gone_after: Vec<Duration>,
    /// The largest that the write-ahead log was seen.
    wal_bytes: u64,
}

/// Plants, deletes, and tells.
pub(super) fn measure(
    binary: PathBuf,
    folder: PathBuf,
    settings: &[(&str, &str)],
    options: &Options,
) -> anyhow::Result<()> {
    let mut server = Server::launch(binary, folder, settings)?;
    let key = server.command(&["keys", "create", "--dialect", "openai", "--user", "owner"])?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("could not start the clients")?;
    let wanted: Vec<(usize, usize)> = options
        .sizes
        .iter()
        .map(|size| (*size, options.count(*size)))
        .collect();
    let planted = runtime.block_on(plant::plant(server.address(), &key, &wanted))?;
    // What planting has left in the write-ahead log is no business of the deletes.
    server.end()?;
    server.restart()?;
    let mut table = Table::default();
    let mut run = Run {
        others_key: server.command(&[
            "keys",
            "create",
            "--dialect",
            "openai",
            "--user",
            "others",
        ])?,
        address: server.address().to_owned(),
        key,
        looking: Looking::open(&server)?,
    };
    say("measuring, without deletes first\n");
    table.control("before", runtime.block_on(run.control())?);
    for (size, conversations) in &planted {
        say(&format!(
            "deleting {} of {size} items\n",
            conversations.len()
        ));
        let (deleted, others) = runtime.block_on(run.deletes(*size, conversations))?;
        table.deletes(*size, deleted, others);
    }
    table.control("after", runtime.block_on(run.control())?);
    say(&table.text(run.looking.free_bytes()?));
    server.stop()
}

/// A server with what is planted in it.
struct Run {
    address: String,
    key: String,
    others_key: String,
    looking: Looking,
}

impl Run {
    /// Others alone.
    async fn control(&mut self) -> anyhow::Result<others::Times> {
        let others = Others::start(&self.address, &self.others_key).await?;
        sleep(CONTROL).await;
        others.stop().await
    }

    /// Deletes conversations of one size, and waits until their rows are gone.
    async fn deletes(
        &mut self,
        size: usize,
        conversations: &[String],
    ) -> anyhow::Result<(Deleted, others::Times)> {
        let mut line = Client::connect(&self.address).await?;
        let mut deleted = Deleted::default();
        let others = Others::start(&self.address, &self.others_key).await?;
        for round in conversations.chunks((ITEMS_AT_ONCE / size).max(1)) {
            for id in round {
                let path = format!("{}/{id}", plant::CONVERSATIONS);
                let delete = request(&self.address, &self.key, "DELETE", &path, "");
                let since = Instant::now();
                line.call(&delete).await?;
                deleted.answers.push(since.elapsed());
            }
            let since = Instant::now();
            while self.looking.rows_are_left()? {
                if since.elapsed() > PATIENCE {
                    bail!("rows of deleted conversations are left");
                }
                deleted.wal_bytes = deleted.wal_bytes.max(self.looking.wal_bytes());
                sleep(LOOK_EVERY).await;
            }
            deleted.gone_after.push(since.elapsed());
        }
        Ok((deleted, others.stop().await?))
    }
}

/// A look at the server's files.
pub(super) struct Looking {
    db: Connection,
    wal: PathBuf,
}

impl Looking {
    pub(super) fn open(server: &Server) -> anyhow::Result<Self> {
        let data = server.folder().join("data");
        let file = data.join("parlance.db");
        let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY);
        Ok(Self {
            db: db.context("could not look into the database")?,
            wal: data.join("parlance.db-wal"),
        })
    }

    /// How many receipts have not said all that they will say.
    pub(super) fn open_receipts(&self) -> anyhow::Result<u64> {
        let open = "SELECT (SELECT count(*) FROM receipts WHERE state = 0) \
            + (SELECT count(*) FROM receipts WHERE state = 1)";
        let open: i64 = self
            .db
            .query_row(open, [], |row| row.get(0))
            .context("could not count receipts")?;
        Ok(u64::try_from(open).unwrap_or_default())
    }

    pub(super) fn rows_are_left(&self) -> anyhow::Result<bool> {
        let left = "SELECT EXISTS (SELECT 1 FROM purges)";
        let left = self.db.query_row(left, [], |row| row.get(0));
        left.context("could not look for what is left")
    }

    /// Bytes of the database's file that hold nothing, and were not given back yet.
    fn free_bytes(&self) -> anyhow::Result<i64> {
        let number = |name: &str| self.db.pragma_query_value(None, name, |row| row.get(0));
        let pages: i64 = number("freelist_count").context("could not count free pages")?;
        let bytes: i64 = number("page_size").context("could not ask for the pages' size")?;
        Ok(pages * bytes)
    }

    pub(super) fn wal_bytes(&self) -> u64 {
        self.wal.metadata().map_or(0, |file| file.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_conversations_are_many_and_large_ones_are_few() {
        let options = Options::read(&[]).expect("nothing is wrong");
        let counts: Vec<usize> = SIZES_DEFAULT
            .iter()
            .map(|size| options.count(*size))
            .collect();
        assert_eq!(counts, [100, 20, 2]);
    }

    #[test]
    fn sizes_and_their_count_are_read() {
        let options = Options::read(&["--count", "2", "--sizes", "10,20"]);
        let wanted = Options {
            sizes: vec![10, 20],
            count: Some(2),
        };
        assert_eq!(options.expect("nothing is wrong"), wanted);
        for wrong in [&["--sizes", "0"][..], &["--sizes"], &["--size", "1"]] {
            assert!(Options::read(wrong).is_err(), "{wrong:?}");
        }
    }
}
