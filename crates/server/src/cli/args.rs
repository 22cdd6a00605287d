//! The command line's words. The help texts are documentation.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use parlance_domain::limits::KEYRING_SNAPSHOT_HOURS;

/// A self-hosted conversation server that speaks the dialects of `OpenAI`, Azure, Dify, Coze and
/// `OpenHands`, and forgets what it is told to forget.
#[derive(Debug, Parser)]
#[command(name = "parlance", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

/// What `parlance` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve all dialects (the default)
    Serve(Serve),
    /// Make and list projects
    Projects {
        #[command(subcommand)]
        command: Projects,
    },
    /// Make and list apps
    Apps {
        #[command(subcommand)]
        command: Apps,
    },
    /// Make, list and revoke keys
    Keys {
        #[command(subcommand)]
        command: Keys,
    },
    /// Erase conversations, of one user or of all, and print their receipts
    Erase(Erase),
    /// Keep what a court or a law wants kept from being erased
    Hold {
        #[command(subcommand)]
        command: Hold,
    },
    /// Show receipts of erasure
    Receipts {
        #[command(subcommand)]
        command: Receipts,
    },
    /// Replace the root key and destroy the old one, so that no copy of the keyring from before opens what
    /// was deleted since
    Rekey {
        #[command(flatten)]
        common: Common,
    },
    /// Look for keys and rows that should not be there, and for content that is not sealed
    Audit(Audit),
    /// Copy the data, while a server runs too, and apart from them the keyring for a day
    Backup(Backup),
    /// Bring a copy back, without what was erased since
    Restore(Restore),
}

/// What every command takes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Common {
    /// The data directory [default: ./parlance-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where conversations are kept: `sqlite`, or a `postgres://` URL [default: sqlite]
    #[arg(long, value_name = "STORE")]
    pub(crate) store: Option<String>,
    /// The configuration file [default: parlance.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// What every command about one project takes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct InProject {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The project [default: default]
    #[arg(long, value_name = "PROJECT")]
    pub(crate) project: Option<String>,
}

/// `parlance serve`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) common: Common,
    /// The address to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// The model server's base URL; its key is read from `PARLANCE_MODEL_KEY`
    #[arg(long, value_name = "URL")]
    pub(crate) model_url: Option<String>,
    /// The model that answers where an app names none, as its server knows it [default: echo]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
}

/// `parlance projects`.
#[derive(Debug, Subcommand)]
pub(crate) enum Projects {
    /// Make a project
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// List all projects
    List {
        #[command(flatten)]
        common: Common,
    },
}

/// `parlance apps`.
#[derive(Debug, Subcommand)]
pub(crate) enum Apps {
    /// Make an app
    Create {
        /// Its name
        name: String,
        /// What kind of app it is
        #[arg(long, default_value = "advanced-chat", value_parser = clap::builder::PossibleValuesParser::new(
            parlance_domain::AppMode::ALL.map(parlance_domain::AppMode::name)))]
        mode: String,
        /// The model that answers: `echo`, or one that is configured [default: the server's]
        #[arg(long, value_name = "M")]
        model: Option<String>,
        /// A file with what the model is told first
        #[arg(long, value_name = "F")]
        instructions_file: Option<PathBuf>,
        #[command(flatten)]
        at: InProject,
    },
    /// List all apps, with their ids in every dialect's form
    List {
        #[command(flatten)]
        at: InProject,
    },
    /// Import an exported chatflow (not in this version)
    Import {
        /// The exported file
        file: PathBuf,
        #[command(flatten)]
        at: InProject,
    },
}

/// `parlance keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key and print it, once
    Create {
        /// The dialect that it is for: openai, dify, coze, openhands or admin
        #[arg(long, value_name = "DIALECT")]
        dialect: String,
        /// The app that it speaks for
        #[arg(long, default_value = "default", value_name = "A")]
        app: String,
        /// The only user that it speaks for [default: whoever a request names]
        #[arg(long, value_name = "U")]
        user: Option<String>,
        /// A permission that it has, in its dialect's words; may be repeated [default: all]
        #[arg(long, value_name = "S")]
        scope: Vec<String>,
        #[command(flatten)]
        at: InProject,
    },
    /// List all keys, without their secrets
    List {
        #[command(flatten)]
        at: InProject,
    },
    /// Revoke a key; it stops within a second
    Revoke {
        /// The key's id, as `keys list` shows it
        #[arg(value_name = "KEY_ID")]
        id: String,
        #[command(flatten)]
        at: InProject,
    },
}

/// `parlance receipts`.
#[derive(Debug, Subcommand)]
pub(crate) enum Receipts {
    /// List all receipts: id, state, level, time of the delete
    List {
        #[command(flatten)]
        at: InProject,
    },
    /// Show a receipt with its proof: canonical JSON, one line
    Show {
        /// The receipt's id, as the answer to the delete names it
        #[arg(value_name = "RECEIPT_ID")]
        id: String,
        #[command(flatten)]
        at: InProject,
    },
    /// Export the log of receipts, of all projects: JSON lines
    Export {
        #[command(flatten)]
        common: Common,
    },
    /// Show the public key that verifies receipts: PEM
    Key {
        #[command(flatten)]
        common: Common,
    },
    /// Verify an exported log, or one receipt; needs no server and no data
    Verify(Verify),
}

/// `parlance receipts verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// An exported log or a receipt; `-` is standard input
    pub(crate) file: PathBuf,
    /// The public key, as `receipts key` prints it
    #[arg(long, value_name = "KEYFILE")]
    pub(crate) key: PathBuf,
    /// A log that was exported earlier, or a receipt: all of it must be in the log
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    // Every command takes these; here they change nothing.
    #[command(flatten)]
    pub(crate) _common: Common,
}

/// `parlance erase`.
#[derive(Debug, Args)]
pub(crate) struct Erase {
    /// The conversation, in any dialect's form
    #[arg(long, value_name = "ID")]
    pub(crate) conversation: Option<String>,
    /// Whose conversations; without `--older-than`, keys that speak for the user are revoked as well
    #[arg(long, value_name = "U")]
    pub(crate) user: Option<String>,
    /// Only what has not changed for so long, such as `30d` or `36h`; without `--user`, whoever's it is
    #[arg(long, value_name = "AGE", value_parser = read_age)]
    pub(crate) older_than: Option<Duration>,
    /// Only count what would be erased, and what a hold covers
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask; on a terminal it asks first
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) at: InProject,
}

/// `parlance hold`.
#[derive(Debug, Subcommand)]
pub(crate) enum Hold {
    /// Add a hold, and print its id; without a conversation or a user, on the whole project
    Add {
        /// The conversation, in any dialect's form
        #[arg(long, value_name = "ID", conflicts_with = "user")]
        conversation: Option<String>,
        /// The user, with all that is theirs
        #[arg(long, value_name = "U")]
        user: Option<String>,
        /// Why, in your own words; nobody but operators sees it
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        #[command(flatten)]
        at: InProject,
    },
    /// List all holds: id, what it covers, since when, note
    List {
        #[command(flatten)]
        at: InProject,
    },
    /// Remove a hold
    Remove {
        /// The hold's id, as `hold list` shows it
        #[arg(value_name = "HOLD_ID")]
        id: String,
        #[command(flatten)]
        at: InProject,
    },
}

/// Reads an age such as `30d`, `36h` or `1w 2d`: more than nothing, and a day has 24 hours.
fn read_age(text: &str) -> Result<Duration, String> {
    let unreadable = "write an age such as `30d`, `36h` or `90m`";
    let span: jiff::Span = text.parse().map_err(|_| unreadable)?;
    let age = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours());
    let age = Duration::try_from(age.map_err(|_| unreadable)?).map_err(|_| unreadable)?;
    if age < Duration::from_secs(1) {
        return Err("an age is a second at least".to_owned());
    }
    Ok(age)
}

/// `parlance audit`.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// A file or folder that is searched besides the data directory, such as one with logs; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) also: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `parlance backup`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The folder of the backup; one that is there already is brought up to date
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// How long the snapshot of the keyring may be kept, in hours; 0 makes none. Receipts promise that it
    /// is never more than a day
    #[arg(long, value_name = "HOURS", default_value_t = KEYRING_SNAPSHOT_HOURS,
        value_parser = clap::value_parser!(u64).range(0..=KEYRING_SNAPSHOT_HOURS))]
    pub(crate) snapshot_hours: u64,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `parlance restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The folder of the backup
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// A newer copy of `erasures.log` than the backup has
    #[arg(long, value_name = "FILE")]
    pub(crate) erasures: Option<PathBuf>,
    /// Use the snapshot of the keyring though it has expired; the log of receipts says so for good
    #[arg(long)]
    pub(crate) accept_expired: bool,
    /// Move aside what is in the data directory, and do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}
