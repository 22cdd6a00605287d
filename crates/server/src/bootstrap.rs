//! The first start on an empty directory: a project, an app and a key for each dialect.

use anyhow::Context;
use parlance_dialects::{DIALECTS, Example};
use parlance_domain::service::NewKey;
use parlance_domain::{AppMode, Scopes, Service};

const NAME: &str = "default";

/// Makes what there has to be, and gives the text that shows it, once; none if there is a project
/// already. `base` is the server's own URL.
pub(crate) async fn bootstrap(
    service: &Service,
    model: &str,
    base: &str,
) -> anyhow::Result<Option<String>> {
    if !service
        .projects()
        .await
        .context("could not read the projects")?
        .is_empty()
    {
        return Ok(None);
    }
    let project = service
        .create_project(NAME)
        .await
        .context("could not make the project")?;
    let project = project.context("the project is there already")?;
    let app = service
        .create_app(project.id, NAME, AppMode::AdvancedChat, model, None)
        .await;
    let app = app
        .context("could not make the app")?
        .context("the app is there already")?;
    let mut text = format!(
        "Made project `{NAME}` with app `{NAME}` and a key for each dialect. The keys are shown this \
         once; only their hashes are kept.\nEach `curl` line creates a conversation and deletes it.\n"
    );
    for entry in DIALECTS {
        let new = NewKey {
            project: project.id,
            app: app.id,
            dialect: entry.name.to_owned(),
            prefix: entry.key_prefix,
            scopes: Scopes::All,
            user: None,
        };
        let made = service
            .create_key(new)
            .await
            .context("could not make a key")?;
        let key = made.secret.expose();
        let example = (entry.example)(&Example {
            base,
            key,
            app: app.id,
        });
        text.extend(["\n", entry.name, "  ", key, "\n", &example, "\n"]);
    }
    text.push('\n');
    Ok(Some(text))
}
