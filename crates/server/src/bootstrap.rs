//! The first start on an empty directory: a project, an app and a key for each dialect.

use anyhow::Context;
use parlance_dialects::{DIALECTS, Example};
use parlance_domain::service::NewKey;
use parlance_domain::{AppMode, Scopes, Service};

const NAME: &str = "default";

/// Makes what there has to be, and gives the text that shows it, once; none if it is there already. A
/// first start that was killed before it had made a key is finished. `base` is the server's own URL.
pub(crate) async fn bootstrap(service: &Service, base: &str) -> anyhow::Result<Option<String>> {
    let projects = service.projects().await;
    let projects = projects.context("could not read the projects")?;
    let project = match projects.as_slice() {
        [] => {
            let project = service.create_project(NAME).await;
            project
                .context("could not make the project")?
                .context("the project is there already")?
        }
        [only] if only.name == NAME => {
            let keys = service.keys(only.id).await;
            if !keys.context("could not read the keys")?.is_empty() {
                return Ok(None);
            }
            only.clone()
        }
        _ => return Ok(None),
    };
    let apps = service.apps(project.id).await;
    let mut apps = apps.context("could not read the apps")?.into_iter();
    let app = match apps.find(|app| app.name == NAME) {
        Some(app) => app,
        None => service
            .create_app(project.id, NAME, AppMode::AdvancedChat, None, None)
            .await
            .context("could not make the app")?
            .context("the app is there already")?,
    };
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
