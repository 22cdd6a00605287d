//! From the command line to what is done, and to an exit code: 0 done, 1 failed, 2 wrong usage.

mod args;
mod restore;
mod verify;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use crate::config::{Config, Overrides};
use crate::control::{self, Command as Wanted, HoldAction, Refusal};
use crate::{serve, telemetry};
use args::{Apps, Cli, Command, Common, Erase, Hold, InProject, Keys, Projects, Receipts};

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => run_server(&cli.serve),
        Some(Command::Serve(args)) => run_server(&args),
        Some(Command::Receipts {
            command: Receipts::Verify(args),
        }) => verify::verify(&args),
        Some(Command::Restore(args)) => {
            load(&args.common, |_| {}).and_then(|config| restore::restore(&args, &config))
        }
        Some(command) => run_command(command),
    };
    let code = match done {
        Ok(()) => 0,
        Err(error) => {
            telemetry::complain(&format!("parlance: {error:#}"));
            match error.downcast_ref::<Refusal>() {
                Some(Refusal {
                    wrong_usage: true, ..
                }) => WRONG_USAGE,
                _ => FAILED,
            }
        }
    };
    ExitCode::from(code)
}

fn run_server(args: &args::Serve) -> anyhow::Result<()> {
    let config = load(&args.common, |overrides| {
        overrides.listen.clone_from(&args.listen);
        overrides.model_url.clone_from(&args.model_url);
        overrides.model_name.clone_from(&args.model);
    })?;
    telemetry::start_logging(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers.get())
        .thread_name("parlance-worker")
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    runtime.block_on(serve::serve(config))
}

fn run_command(command: Command) -> anyhow::Result<()> {
    let asks_first = matches!(&command, Command::Erase(erase) if !erase.yes && !erase.dry_run);
    let (common, wanted) = translate(command)?;
    let config = load(&common, |_| {})?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    // Scripts have no terminal: what they order is done.
    if asks_first && io::stdin().is_terminal() && io::stderr().is_terminal() {
        let mut counted = Vec::new();
        let counting = control::carry_out(&config, counting(&wanted), &mut counted);
        runtime.block_on(counting)?;
        if !confirmed(&counted)? {
            return Err(Refusal::failed("nothing was erased").into());
        }
    }
    let mut out = io::stdout();
    runtime.block_on(control::carry_out(&config, wanted, &mut out))?;
    out.flush().context("could not write to standard output")
}

/// The same command, but that it only counts.
fn counting(wanted: &Wanted) -> Wanted {
    let mut counting = wanted.clone();
    if let Wanted::Erase(erase) = &mut counting {
        erase.dry_run = true;
    }
    counting
}

fn load(common: &Common, more: impl FnOnce(&mut Overrides)) -> anyhow::Result<Config> {
    let mut overrides = Overrides {
        config: common.config.clone(),
        data: common.data.clone(),
        store: common.store.clone(),
        ..Overrides::default()
    };
    more(&mut overrides);
    Config::load(&overrides)
}

fn translate(command: Command) -> anyhow::Result<(Common, Wanted)> {
    let translated = match command {
        Command::Projects {
            command: Projects::Create { name, common },
        } => (common, Wanted::CreateProject { name }),
        Command::Projects {
            command: Projects::List { common },
        } => (common, Wanted::ListProjects),
        Command::Apps { command } => translate_apps(command)?,
        Command::Keys { command } => translate_keys(command),
        Command::Serve(_) => return Err(Refusal::failed("`serve` is no command of its own").into()),
        Command::Erase(erase) => translate_erase(erase),
        Command::Hold { command } => translate_hold(command),
        Command::Receipts { command } => translate_receipts(command)?,
        Command::Rekey { common } => (common, Wanted::RenewRoot),
        Command::Audit(audit) => {
            let also: Result<_, _> = audit.also.iter().map(absolute).collect();
            (audit.common, Wanted::Audit { also: also? })
        }
        Command::Backup(backup) => {
            let to = absolute(&backup.dir)?;
            let snapshot_hours = backup.snapshot_hours;
            (backup.common, Wanted::BackUp { to, snapshot_hours })
        }
        Command::Restore(_) => return Err(Refusal::failed("`restore` asks no server").into()),
    };
    Ok(translated)
}

fn translate_apps(command: Apps) -> anyhow::Result<(Common, Wanted)> {
    match command {
        Apps::Create {
            name,
            mode,
            model,
            instructions_file,
            at,
        } => {
            let read = |file: PathBuf| {
                std::fs::read_to_string(&file)
                    .with_context(|| format!("could not read `{}`", file.display()))
            };
            let instructions = instructions_file.map(read).transpose()?;
            let (common, project) = place(at);
            Ok((
                common,
                Wanted::CreateApp {
                    project,
                    name,
                    mode,
                    model,
                    instructions,
                },
            ))
        }
        Apps::List { at } => {
            let (common, project) = place(at);
            Ok((common, Wanted::ListApps { project }))
        }
        Apps::Import { .. } => Err(not_yet("apps import")),
    }
}

fn translate_keys(command: Keys) -> (Common, Wanted) {
    match command {
        Keys::Create {
            dialect,
            app,
            user,
            scope,
            at,
        } => {
            let (common, project) = place(at);
            (
                common,
                Wanted::CreateKey {
                    project,
                    dialect,
                    app,
                    user,
                    scopes: scope,
                },
            )
        }
        Keys::List { at } => {
            let (common, project) = place(at);
            (common, Wanted::ListKeys { project })
        }
        Keys::Revoke { id, at } => {
            let (common, project) = place(at);
            (common, Wanted::RevokeKey { project, id })
        }
    }
}

fn translate_receipts(command: Receipts) -> anyhow::Result<(Common, Wanted)> {
    match command {
        Receipts::List { at } => {
            let (common, project) = place(at);
            Ok((common, Wanted::ListReceipts { project }))
        }
        Receipts::Show { id, at } => {
            let (common, project) = place(at);
            Ok((common, Wanted::ShowReceipt { project, id }))
        }
        Receipts::Export { common } => Ok((common, Wanted::ExportReceipts)),
        Receipts::Key { common } => Ok((common, Wanted::ShowReceiptsKey)),
        Receipts::Verify(_) => Err(Refusal::failed("`verify` asks nobody").into()),
    }
}

fn translate_erase(erase: Erase) -> (Common, Wanted) {
    let (common, project) = place(erase.at);
    let wanted = control::Erase {
        project,
        conversation: erase.conversation,
        user: erase.user,
        unchanged_for_s: erase.older_than.map(|age| age.as_secs()),
        dry_run: erase.dry_run,
    };
    (common, Wanted::Erase(wanted))
}

fn translate_hold(command: Hold) -> (Common, Wanted) {
    let (at, action) = match command {
        Hold::Add {
            conversation,
            user,
            note,
            at,
        } => {
            let add = HoldAction::Add {
                conversation,
                user,
                note,
            };
            (at, add)
        }
        Hold::List { at } => (at, HoldAction::List),
        Hold::Remove { id, at } => (at, HoldAction::Remove { id }),
    };
    let (common, project) = place(at);
    (common, Wanted::Hold { project, action })
}

/// A path as the server, which works elsewhere, finds it.
fn absolute(path: &PathBuf) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("could not find `{}`", path.display()))
}

/// Asks on the terminal, where it shows what was counted.
fn confirmed(counted: &[u8]) -> anyhow::Result<bool> {
    io::stderr().write_all(counted)?;
    ask("What is erased cannot be brought back. Erase it?")
}

/// Asks on the terminal.
fn ask(question: &str) -> anyhow::Result<bool> {
    let mut terminal = io::stderr();
    write!(terminal, "{question} [y/N] ")?;
    terminal.flush()?;
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .context("could not read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn place(at: InProject) -> (Common, Option<String>) {
    (at.common, at.project)
}

fn not_yet(command: &str) -> anyhow::Error {
    let message = format!("`parlance {command}` is not in this version; nothing was changed");
    Refusal::failed(message).into()
}
