//! What each command does, over the same use-cases that requests have.

use std::collections::BTreeSet;

use parlance_dialects::DIALECTS;
use parlance_domain::fault::Chain;
use parlance_domain::limits::NAME_CHARS_MAX;
use parlance_domain::service::NewKey;
use parlance_domain::{
    App, AppMode, Error, Id, KeyId, KeyRecord, Project, Ref, Scopes, Service, Timestamp, User,
};

use super::{Command, Output, Refusal, Upkeep, erase, hold, receipts};

/// Carries out a command and gives what to print. `project` is meant where the command names none.
pub(super) async fn execute(
    service: &Service,
    upkeep: &Upkeep,
    project: &str,
    command: Command,
) -> Result<Output, Refusal> {
    let named = |name: &Option<String>| name.clone().unwrap_or_else(|| project.to_owned());
    let text = match command {
        Command::CreateProject { name } => create_project(service, &name).await,
        Command::ListProjects => list_projects(service).await,
        Command::CreateApp {
            project,
            name,
            mode,
            model,
            instructions,
        } => {
            let project = find_project(service, &named(&project)).await?;
            create_app(service, &project, &name, &mode, model, instructions).await
        }
        Command::ListApps { project } => {
            list_apps(service, &find_project(service, &named(&project)).await?).await
        }
        Command::CreateKey {
            project,
            dialect,
            app,
            user,
            scopes,
        } => {
            let project = find_project(service, &named(&project)).await?;
            let wanted = WantedKey {
                dialect,
                app,
                user,
                scopes,
            };
            create_key(service, &project, wanted).await
        }
        Command::ListKeys { project } => {
            list_keys(service, &find_project(service, &named(&project)).await?).await
        }
        Command::Erase(wanted) => {
            let project = find_project(service, &named(&wanted.project)).await?;
            return erase::erase(service, &project, wanted).await;
        }
        Command::Hold { project, action } => {
            let project = find_project(service, &named(&project)).await?;
            return hold::act(service, &project, action).await;
        }
        Command::RevokeKey { project, id } => {
            revoke_key(
                service,
                &find_project(service, &named(&project)).await?,
                &id,
            )
            .await
        }
        Command::ListReceipts { project } => {
            receipts::list(service, &find_project(service, &named(&project)).await?).await
        }
        Command::ShowReceipt { project, id } => {
            let project = find_project(service, &named(&project)).await?;
            receipts::show(service, &project, &id).await
        }
        Command::ShowReceiptsKey => Ok(service.receipts_key().pem()),
        Command::ExportReceipts => return receipts::export(service).await,
        Command::Audit { also } => return upkeep.audit(also).await,
        Command::BackUp { to, snapshot_hours } => {
            return upkeep.back_up(to, snapshot_hours).await;
        }
        Command::RenewRoot => return receipts::renew_root(service).await,
    };
    text.map(Output::from)
}

async fn create_project(service: &Service, name: &str) -> Result<String, Refusal> {
    check_name(name)?;
    match service.create_project(name).await.map_err(failed)? {
        Some(project) => Ok(format!("{}\n", project.name)),
        None => Err(Refusal::failed(format!(
            "there is a project `{name}` already"
        ))),
    }
}

async fn list_projects(service: &Service) -> Result<String, Refusal> {
    let projects = service.projects().await.map_err(failed)?;
    let mut text = String::new();
    for project in projects {
        line(&mut text, &[&project.name, &time(project.created_at)]);
    }
    Ok(text)
}

async fn create_app(
    service: &Service,
    project: &Project,
    name: &str,
    mode: &str,
    model: Option<String>,
    instructions: Option<String>,
) -> Result<String, Refusal> {
    check_name(name)?;
    let mode =
        AppMode::parse(mode).ok_or_else(|| Refusal::usage(format!("there is no mode `{mode}`")))?;
    let names = service.model_names();
    if let Some(model) = model.as_ref().filter(|model| !names.contains(model)) {
        let message = format!(
            "there is no model `{model}`: configured are {}",
            names.join(", ")
        );
        return Err(Refusal::failed(message));
    }
    match service
        .create_app(project.id, name, mode, model.as_deref(), instructions)
        .await
        .map_err(failed)?
    {
        Some(app) => Ok(show_app(&app)),
        None => Err(Refusal::failed(format!(
            "there is an app `{name}` in project `{}` already",
            project.name
        ))),
    }
}

async fn list_apps(service: &Service, project: &Project) -> Result<String, Refusal> {
    let apps = service.apps(project.id).await.map_err(failed)?;
    Ok(apps.iter().map(show_app).collect())
}

/// One line: name, mode, model (`-` is the server's default), and the app's id in every dialect's form.
fn show_app(app: &App) -> String {
    let ids = DIALECTS
        .iter()
        .map(|entry| format!("{}={}", entry.name, (entry.app)(app.id)));
    let ids: Vec<String> = ids.collect();
    let model = app.model.as_deref().unwrap_or("-");
    let mut text = String::new();
    line(
        &mut text,
        &[&app.name, app.mode.name(), model, &ids.join("  ")],
    );
    text
}

/// A key as the command line wants it.
struct WantedKey {
    dialect: String,
    app: String,
    user: Option<String>,
    scopes: Vec<String>,
}

async fn create_key(
    service: &Service,
    project: &Project,
    wanted: WantedKey,
) -> Result<String, Refusal> {
    if wanted.dialect == "admin" {
        return Err(Refusal::failed("admin keys are not in this version"));
    }
    let Some(entry) = parlance_dialects::dialect(&wanted.dialect) else {
        let names: Vec<&str> = DIALECTS.iter().map(|entry| entry.name).collect();
        let message = format!(
            "there is no dialect `{}`: use {}",
            wanted.dialect,
            names.join(", ")
        );
        return Err(Refusal::usage(message));
    };
    if let Some(scope) = wanted
        .scopes
        .iter()
        .find(|scope| !entry.scopes.contains(&scope.as_str()))
    {
        let message = match entry.scopes {
            [] => format!("keys for {} have no scopes", entry.name),
            known => format!("there is no scope `{scope}`: use {}", known.join(", ")),
        };
        return Err(Refusal::usage(message));
    }
    let apps = service.apps(project.id).await.map_err(failed)?;
    let app = apps
        .iter()
        .find(|app| app.name == wanted.app)
        .ok_or_else(|| {
            Refusal::failed(format!(
                "there is no app `{}` in project `{}`",
                wanted.app, project.name
            ))
        })?;
    let scopes = match wanted.scopes.as_slice() {
        [] => Scopes::All,
        scopes => Scopes::Only(scopes.iter().cloned().collect::<BTreeSet<_>>()),
    };
    let user = wanted.user.as_deref().map(read_user).transpose()?;
    let new = NewKey {
        project: project.id,
        app: app.id,
        dialect: entry.name.to_owned(),
        prefix: entry.key_prefix,
        scopes,
        user,
    };
    let made = service.create_key(new).await.map_err(failed)?;
    Ok(format!("{}\n", made.secret.expose()))
}

async fn list_keys(service: &Service, project: &Project) -> Result<String, Refusal> {
    let keys = service.keys(project.id).await.map_err(failed)?;
    let apps = service.apps(project.id).await.map_err(failed)?;
    let mut text = String::new();
    for key in &keys {
        let app = apps
            .iter()
            .find(|app| app.id == key.app)
            .map_or("-", |app| &app.name);
        let user = key.user.as_ref().map_or("-", |user| user.expose());
        let state = match key.revoked_at {
            None => "active".to_owned(),
            Some(at) => format!("revoked {}", time(at)),
        };
        let columns = [
            &key.id.hex(),
            &key.dialect,
            app,
            user,
            &scopes(key),
            &time(key.created_at),
            &state,
        ];
        line(&mut text, &columns);
    }
    Ok(text)
}

fn scopes(key: &KeyRecord) -> String {
    match &key.scopes {
        Scopes::All => "all".to_owned(),
        Scopes::Only(scopes) => scopes.iter().cloned().collect::<Vec<_>>().join(","),
    }
}

async fn revoke_key(service: &Service, project: &Project, id: &str) -> Result<String, Refusal> {
    let unknown = || {
        Refusal::failed(format!(
            "there is no key `{id}` in project `{}`",
            project.name
        ))
    };
    let key = Ref::<KeyId>::from_hex(id)
        .and_then(Ref::whole)
        .ok_or_else(unknown)?;
    if service.revoke_key(project.id, key).await.map_err(failed)? {
        Ok(format!("revoked {id}\n"))
    } else {
        Err(unknown())
    }
}

async fn find_project(service: &Service, name: &str) -> Result<Project, Refusal> {
    let found = service.project_named(name).await.map_err(failed)?;
    found.ok_or_else(|| Refusal::failed(format!("there is no project `{name}`")))
}

/// Reads a user. An empty one, from a variable that is not set, must not come to mean everybody.
pub(super) fn read_user(text: &str) -> Result<User, Refusal> {
    if text.chars().any(char::is_control) {
        return Err(Refusal::usage("a user has no control characters"));
    }
    let too_long = |_| Refusal::usage("the user's name is too long");
    let user = User::parse(text).map_err(too_long)?;
    user.ok_or_else(|| Refusal::usage("the user is empty: leave `--user` out, or name one"))
}

/// Names go into lines of output and into settings, so that they are plain words.
fn check_name(name: &str) -> Result<(), Refusal> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(plain) {
        return Err(Refusal::usage(format!(
            "`{name}` cannot be a name: use up to {NAME_CHARS_MAX} letters, digits, `-`, `_` and `.`"
        )));
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(super) fn failed(error: Error) -> Refusal {
    Refusal::failed(Chain(&error).to_string())
}

pub(super) fn line(text: &mut String, columns: &[&str]) {
    text.push_str(&columns.join("  "));
    text.push('\n');
}

pub(crate) fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.seconds()).map_or_else(|_| "-".to_owned(), |at| at.to_string())
}
