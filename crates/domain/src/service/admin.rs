//! Projects, apps and keys: what the command line does.

use super::{Service, fault};
use crate::fault::Error;
use crate::ids::{AppId, KeyId};
use crate::limits::KEY_BYTES;
use crate::model::{App, AppMode, KeyDigest, KeyRecord, Project, ProjectId, Scopes, User};
use crate::secret::Secret;
use crate::store::{AdminWrite, StoreError};

/// A key that is wanted.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The project that it opens.
    pub project: ProjectId,
    /// The app that it speaks for.
    pub app: AppId,
    /// The name of the dialect that it is for.
    pub dialect: String,
    /// What the dialect's keys begin with.
    pub prefix: &'static str,
    /// What it may do.
    pub scopes: Scopes,
    /// The only user that it speaks for.
    pub user: Option<User>,
}

/// A key that was made, with its secret: shown once, kept nowhere.
#[derive(Clone, Debug)]
pub struct MadeKey {
    /// The record.
    pub record: KeyRecord,
    /// The key itself.
    pub secret: Secret,
}

impl Service {
    /// All projects.
    pub async fn projects(&self) -> Result<Vec<Project>, Error> {
        self.store().projects().await.map_err(fault)
    }

    /// Makes a project; none if the name is taken.
    pub async fn create_project(&self, name: &str) -> Result<Option<Project>, Error> {
        loop {
            let last = self
                .projects()
                .await?
                .last()
                .map_or(0, |project| project.id.0);
            let project = Project {
                id: ProjectId(last + 1),
                name: name.to_owned(),
                created_at: self.now(),
            };
            match self
                .store()
                .administer(&AdminWrite::CreateProject(project.clone()))
                .await
            {
                Ok(()) => return Ok(Some(project)),
                Err(StoreError::NameTaken) => return Ok(None),
                Err(StoreError::IdClash) => {}
                Err(error) => return Err(fault(error)),
            }
        }
    }

    /// All apps of a project.
    pub async fn apps(&self, project: ProjectId) -> Result<Vec<App>, Error> {
        self.store().apps(project).await.map_err(fault)
    }

    /// Makes an app; none if the name is taken. Without a model, the server's default answers.
    pub async fn create_app(
        &self,
        project: ProjectId,
        name: &str,
        mode: AppMode,
        model: Option<&str>,
        instructions: Option<String>,
    ) -> Result<Option<App>, Error> {
        let app = App {
            id: self.new_id(),
            project,
            name: name.to_owned(),
            mode,
            model: model.map(ToOwned::to_owned),
            instructions,
            created_at: self.now(),
        };
        match self
            .store()
            .administer(&AdminWrite::CreateApp(app.clone()))
            .await
        {
            Ok(()) => {
                self.inner.access.forget_apps(project);
                Ok(Some(app))
            }
            Err(StoreError::NameTaken) => Ok(None),
            Err(error) => Err(fault(error)),
        }
    }

    /// All keys of a project.
    pub async fn keys(&self, project: ProjectId) -> Result<Vec<KeyRecord>, Error> {
        self.store().keys(project).await.map_err(fault)
    }

    /// Makes a key.
    pub async fn create_key(&self, new: NewKey) -> Result<MadeKey, Error> {
        let mut random = [0; KEY_BYTES];
        self.fill_random(&mut random);
        let mut text = new.prefix.to_owned();
        for byte in random {
            for digit in [byte >> 4, byte & 0xf] {
                text.extend(char::from_digit(digit.into(), 16));
            }
        }
        let secret = Secret::new(text);
        let record = KeyRecord {
            id: self.new_id(),
            project: new.project,
            app: new.app,
            dialect: new.dialect,
            scopes: new.scopes,
            user: new.user,
            created_at: self.now(),
            revoked_at: None,
        };
        let digest = KeyDigest::of(secret.expose());
        let write = AdminWrite::CreateKey {
            key: record.clone(),
            digest,
        };
        self.store().administer(&write).await.map_err(fault)?;
        Ok(MadeKey { record, secret })
    }

    /// Revokes a key; false if the project has none of that id.
    pub async fn revoke_key(&self, project: ProjectId, key: KeyId) -> Result<bool, Error> {
        let write = AdminWrite::RevokeKey {
            project,
            key,
            at: self.now(),
        };
        let revoked = match self.store().administer(&write).await {
            Ok(()) => true,
            Err(StoreError::NoKey) => false,
            Err(error) => return Err(fault(error)),
        };
        self.inner.access.forget(key);
        Ok(revoked)
    }

    /// The project of that name.
    pub async fn project_named(&self, name: &str) -> Result<Option<Project>, Error> {
        Ok(self
            .projects()
            .await?
            .into_iter()
            .find(|project| project.name == name))
    }
}
