//! Legal holds, as operators see them.

use parlance_domain::limits::NOTE_CHARS_MAX;
use parlance_domain::secret::Secret;
use parlance_domain::service::HoldTarget;
use parlance_domain::{HoldId, HoldScope, Id, Project, Service};

use super::erase::{no_conversation, read_conversation};
use super::execute::{failed, line, read_user, time};
use super::{HoldAction, Output, Piece, Refusal};

/// Does what is wanted with a project's holds.
pub(super) async fn act(
    service: &Service,
    project: &Project,
    action: HoldAction,
) -> Result<Output, Refusal> {
    match action {
        HoldAction::Add {
            conversation,
            user,
            note,
        } => {
            let (of, user) = (conversation.as_deref(), user.as_deref());
            add(service, project, of, user, note.as_deref()).await
        }
        HoldAction::List => list(service, project).await.map(Output::from),
        HoldAction::Remove { id } => remove(service, project, &id).await.map(Output::from),
    }
}

/// Adds a hold. Its id is printed, and the salt is told.
async fn add(
    service: &Service,
    project: &Project,
    conversation: Option<&str>,
    user: Option<&str>,
    note: Option<&str>,
) -> Result<Output, Refusal> {
    let target = match (conversation, user) {
        (Some(_), Some(_)) => {
            let message = "a hold is on a conversation, on a user or on a whole project: name one";
            return Err(Refusal::usage(message));
        }
        (Some(id), None) => HoldTarget::Conversation(read_conversation(id)?),
        (None, Some(user)) => HoldTarget::User(read_user(user)?),
        (None, None) => HoldTarget::Project,
    };
    let note = note.map(read_note).transpose()?;
    let added = service.add_hold(project.id, target, note).await;
    let added = added.map_err(failed)?;
    let added = added.ok_or_else(|| no_conversation(project))?;
    let mut pieces = vec![Piece::Data(format!("{}\n", added.id.text()))];
    if let Some(salt) = added.salt {
        let salt = salt.expose();
        pieces.push(Piece::Note(format!(
            "the log of receipts names what it covers with the salt {salt}"
        )));
    }
    Ok(Output::Said(pieces.into(), None))
}

/// One line each, oldest first: id, what it covers, since when, the note.
async fn list(service: &Service, project: &Project) -> Result<String, Refusal> {
    let mut text = String::new();
    for hold in service.holds(project.id).await.map_err(failed)? {
        let covers = match &hold.covers {
            Some(HoldScope::Conversation(id)) => format!("conversation {}", id.dashed()),
            Some(HoldScope::User(user)) => format!("user {}", user.expose()),
            Some(HoldScope::Project) => "project".to_owned(),
            None => "user (not known any more)".to_owned(),
        };
        let note = hold.note.as_ref().map_or("-", Secret::expose);
        let columns = [&hold.id.text(), &covers, &time(hold.added_at), note];
        line(&mut text, &columns);
    }
    Ok(text)
}

/// Removes a hold.
async fn remove(service: &Service, project: &Project, id: &str) -> Result<String, Refusal> {
    let unknown = || {
        let name = &project.name;
        Refusal::failed(format!("there is no hold `{id}` in project `{name}`"))
    };
    let hold = HoldId::parse(id).ok_or_else(unknown)?;
    let removed = service.remove_hold(project.id, hold).await;
    if removed.map_err(failed)? {
        Ok(format!("removed {id}\n"))
    } else {
        Err(unknown())
    }
}

/// A note is one line of a list.
fn read_note(note: &str) -> Result<Secret, Refusal> {
    if note.chars().any(char::is_control) {
        return Err(Refusal::usage("a note has no control characters"));
    }
    if note.chars().count() > NOTE_CHARS_MAX {
        let message = format!("a note has at most {NOTE_CHARS_MAX} characters");
        return Err(Refusal::usage(message));
    }
    Ok(Secret::new(note))
}
