//! Erasing: one conversation, or many, piece by piece, so that whoever asked sees how far it is.

use std::collections::VecDeque;
use std::time::Duration;

use parlance_dialects::DIALECTS;
use parlance_domain::model::Realm;
use parlance_domain::service::{Deleted, EraseOrder, Erasure, Tally};
use parlance_domain::{Conflict, ConversationRef, Error, Fault, Principal, Project, Service, User};

use super::execute::{failed, line, read_user};
use super::{Erase, Output, Piece, Refusal};

/// Erases, or counts. Prints the receipts of what is erased, one a line.
pub(super) async fn erase(
    service: &Service,
    project: &Project,
    wanted: Erase,
) -> Result<Output, Refusal> {
    let user = wanted.user.as_deref().map(read_user).transpose()?;
    let unchanged_for = wanted.unchanged_for_s.map(Duration::from_secs);
    if let Some(id) = &wanted.conversation {
        if unchanged_for.is_some() {
            let message = "`--older-than` goes with a user or with a whole project";
            return Err(Refusal::usage(message));
        }
        let of = read_conversation(id)?;
        if wanted.dry_run {
            return Ok(count(count_one(service, project, of, user).await?).into());
        }
        return erase_one(service, project, of, user).await;
    }
    if user.is_none() && unchanged_for.is_none() {
        let message = "say what to erase: `--conversation ID`, `--user U` or `--older-than AGE`";
        return Err(Refusal::usage(message));
    }
    let order = EraseOrder {
        project: project.id,
        user,
        unchanged_for,
    };
    let tally = service.count_erasable(&order).await.map_err(failed)?;
    if wanted.dry_run {
        return Ok(count(tally).into());
    }
    Ok(Output::Erasure(Box::new(Erasing {
        erasure: service.erase(&order),
        total: tally.conversations,
        pieces: VecDeque::new(),
        end: None,
    })))
}

/// Reads a conversation's id in any dialect's form.
pub(super) fn read_conversation(id: &str) -> Result<ConversationRef, Refusal> {
    let read = |entry: &parlance_dialects::Entry| (entry.conversation)(id);
    let of = DIALECTS.iter().find_map(read);
    of.ok_or_else(|| {
        Refusal::usage(format!(
            "`{id}` is no conversation's id in any dialect's form"
        ))
    })
}

pub(super) fn no_conversation(project: &Project) -> Refusal {
    let name = &project.name;
    Refusal::failed(format!("there is no such conversation in project `{name}`"))
}

/// Erases a conversation: whoever's it is, or only if it is the user's.
async fn erase_one(
    service: &Service,
    project: &Project,
    of: ConversationRef,
    user: Option<User>,
) -> Result<Output, Refusal> {
    let erased = if user.is_none() {
        service.erase_conversation(project.id, of).await
    } else {
        let who = owner(project, user);
        let deleted = service.delete_conversation(&who, of, service.now()).await;
        match deleted {
            Ok(erased) => Ok(Some(erased)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    };
    match erased {
        Ok(Some(erased)) => {
            let tally = Tally {
                conversations: 1,
                ..Tally::default()
            };
            let pieces = [
                Piece::Data(receipts(&[erased])),
                Piece::Note(summary(tally)),
            ];
            Ok(Output::Said(pieces.into(), None))
        }
        Ok(None) => Err(no_conversation(project)),
        Err(error) if error.fault == Fault::Conflict(Conflict::Held) => Err(Refusal::failed(
            "a hold covers the conversation: see `parlance hold list`",
        )),
        Err(error) => Err(failed(error)),
    }
}

async fn count_one(
    service: &Service,
    project: &Project,
    of: ConversationRef,
    user: Option<User>,
) -> Result<Tally, Refusal> {
    if user.is_some() {
        let found = service.conversation(&owner(project, user), of).await;
        match found {
            Ok(_) => {}
            Err(error) if is_missing(&error) => return Err(no_conversation(project)),
            Err(error) => return Err(failed(error)),
        }
    }
    let found = service.located(project.id, of).await.map_err(failed)?;
    let found = found.ok_or_else(|| no_conversation(project))?;
    Ok(Tally {
        conversations: u64::from(!found.is_held),
        held_conversations: u64::from(found.is_held),
        ..Tally::default()
    })
}

const fn owner(project: &Project, user: Option<User>) -> Principal {
    Principal {
        project: project.id,
        user,
        app: None,
        realm: Realm::Conversations,
    }
}

const fn is_missing(error: &Error) -> bool {
    matches!(error.fault, Fault::NotFound(_))
}

/// What would be erased, and what is held: a name and a number a line.
fn count(tally: Tally) -> String {
    let mut text = String::new();
    for (name, number) in [
        ("conversations", tally.conversations),
        ("keys", tally.keys),
        ("held_conversations", tally.held_conversations),
        ("held_keys", tally.held_keys),
    ] {
        line(&mut text, &[&format!("{name:<18}"), &number.to_string()]);
    }
    text
}

fn receipts(erased: &[Deleted]) -> String {
    let mut text = String::new();
    for deleted in erased {
        line(&mut text, &[&deleted.receipt.text()]);
    }
    text
}

/// What was done, and what was left.
fn summary(tally: Tally) -> String {
    let mut text = format!("erased {}", some(tally.conversations, "conversation"));
    if tally.keys > 0 {
        text.extend([", revoked ", &some(tally.keys, "key")]);
    }
    let left: Vec<String> = [
        (tally.held_conversations, "conversation"),
        (tally.held_keys, "key"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| some(number, what))
    .collect();
    if !left.is_empty() {
        text.extend(["; left ", &left.join(" and "), ", which a hold covers"]);
    }
    text
}

fn some(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// An erasure of many that is under way.
pub(crate) struct Erasing {
    erasure: Erasure,
    /// How many conversations there were in the beginning.
    total: u64,
    /// What is still to be printed.
    pieces: VecDeque<Piece>,
    /// How it has ended.
    end: Option<Result<(), Refusal>>,
}

impl Erasing {
    /// The next piece; none at the end. Nothing is erased unless somebody asks.
    pub(super) async fn next(&mut self) -> Result<Option<Piece>, Refusal> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Ok(Some(piece));
            }
            match self.end.take() {
                Some(end) => return end.map(|()| None),
                None => self.go_on().await,
            }
        }
    }

    async fn go_on(&mut self) {
        let next = self.erasure.next().await;
        let tally = self.erasure.tally();
        let said = summary(tally);
        match next {
            Ok(Some(erased)) => {
                let progress = Piece::Progress {
                    done: tally.conversations,
                    total: self.total.max(tally.conversations),
                };
                self.pieces
                    .extend([Piece::Data(receipts(&erased)), progress]);
            }
            // What was ordered is not done, and a script has to know.
            Ok(None) if tally.is_held() => self.end = Some(Err(Refusal::failed(said))),
            Ok(None) => {
                self.pieces.push_back(Piece::Note(said));
                self.end = Some(Ok(()));
            }
            Err(error) if error.fault == Fault::Cancelled => {
                let message = format!(
                    "{said}, then the server was told to stop: give the command again for the rest"
                );
                self.end = Some(Err(Refusal::failed(message)));
            }
            Err(error) => {
                let why = failed(error);
                self.end = Some(Err(Refusal::failed(format!("{said}, then failed: {why}"))));
            }
        }
    }
}
