//! Receipts of erasures, as operators see them.

use parlance_domain::fault::Chain;
use parlance_domain::store::RootRenewal;
use parlance_domain::{Project, ReceiptId, Service};

use super::execute::{failed, line, time};
use super::{Output, Piece, Refusal};

/// One line each, oldest first: id, state, level, time of the tombstone.
pub(super) async fn list(service: &Service, project: &Project) -> Result<String, Refusal> {
    sign(service).await?;
    let mut text = String::new();
    for entry in service.receipts(project.id).await.map_err(failed)? {
        let columns = [
            &entry.id.text(),
            entry.state.name(),
            entry.level.name(),
            &time(entry.tombstoned_at),
        ];
        line(&mut text, &columns);
    }
    Ok(text)
}

/// The receipt with its proof: one line.
pub(super) async fn show(
    service: &Service,
    project: &Project,
    id: &str,
) -> Result<String, Refusal> {
    let unknown = || {
        let message = format!("there is no receipt `{id}` in project `{}`", project.name);
        Refusal::failed(message)
    };
    let receipt = ReceiptId::parse(id).ok_or_else(unknown)?;
    sign(service).await?;
    let found = service.receipt(receipt).await.map_err(failed)?;
    let found = found.filter(|found| found.project == project.id);
    let pending = || Refusal::failed(format!("receipt `{id}` is pending: it says nothing yet"));
    let proven = found.ok_or_else(unknown)?.proven.ok_or_else(pending)?;
    let text = proven.text();
    let text = text.map_err(|error| Refusal::failed(Chain(&error).to_string()))?;
    Ok(format!("{text}\n"))
}

/// The whole log: of all projects, because it is one chain.
pub(super) async fn export(service: &Service) -> Result<Output, Refusal> {
    let export = service.export_receipts().await.map_err(failed)?;
    Ok(Output::Log(Box::new(export)))
}

/// Replaces the root key, and lets the receipts say so that can.
pub(super) async fn renew_root(service: &Service) -> Result<Output, Refusal> {
    let renewal = service.renew_root().await.map_err(failed)?;
    sign(service).await?;
    let note = match renewal {
        RootRenewal::Done => "the root key is replaced, and the old one destroyed",
        RootRenewal::NothingDeleted => "nothing was deleted since the root key was replaced",
    };
    Ok(Output::Said([Piece::Note(note.to_owned())].into(), None))
}

/// Nobody who asks right after a delete has to wait for the signer's next round.
async fn sign(service: &Service) -> Result<(), Refusal> {
    service.sign_receipts().await.map(drop).map_err(failed)
}
