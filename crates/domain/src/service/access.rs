//! Who a credential belongs to, and which app is meant.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::{Service, fault};
use crate::fault::{CredentialProblem, Error, Fault, Noun, Reason};
use crate::ids::KeyId;
use crate::model::{App, KeyDigest, KeyRecord, Principal, ProjectId, Realm, User};

/// How long a key is believed without asking the store: a revoked key stops within this time.
const BELIEVED: Duration = Duration::from_millis(900);
/// Most keys that are remembered; past it, all are forgotten at once.
const REMEMBERED_MAX: usize = 10_000;

/// A valid key with its app: what a request acts with.
#[derive(Clone, Debug)]
pub struct Access {
    /// The key.
    pub key: KeyRecord,
    /// Its app.
    pub app: Arc<App>,
}

impl Access {
    /// The principal of a request that names `user`, or none. `field` is where it does so.
    pub fn principal(&self, field: &str, user: Option<User>) -> Result<Principal, Error> {
        let user = match (&self.key.user, user) {
            (Some(own), Some(named)) if *own != named => {
                return Err(Error::invalid(field, Reason::ForeignUser));
            }
            (Some(own), _) => Some(own.clone()),
            (None, named) => named,
        };
        Ok(Principal {
            project: self.key.project,
            user,
            app: None,
            realm: Realm::Conversations,
        })
    }
}

/// All apps of a project.
type Apps = Arc<[Arc<App>]>;

#[derive(Default)]
pub(super) struct Cache {
    known: RwLock<BTreeMap<KeyDigest, (Instant, Arc<Access>)>>,
    /// The apps of projects in which one was looked for by its name.
    apps: RwLock<BTreeMap<ProjectId, (Instant, Apps)>>,
}

impl Cache {
    fn get(&self, digest: &KeyDigest) -> Option<Arc<Access>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (since, access) = known.get(digest)?;
        (since.elapsed() < BELIEVED).then(|| Arc::clone(access))
    }

    fn put(&self, digest: KeyDigest, access: Arc<Access>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(digest, (Instant::now(), access));
    }

    fn apps(&self, project: ProjectId) -> Option<Apps> {
        let known = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        let (since, apps) = known.get(&project)?;
        (since.elapsed() < BELIEVED).then(|| Arc::clone(apps))
    }

    fn put_apps(&self, project: ProjectId, apps: Apps) {
        let mut known = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(project, (Instant::now(), apps));
    }

    /// A project has an app more.
    pub(super) fn forget_apps(&self, project: ProjectId) {
        let mut known = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        known.remove(&project);
    }

    pub(super) fn forget(&self, key: KeyId) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (_, access)| access.key.id != key);
    }
}

impl Service {
    /// The access that a key gives; [`Fault::Unauthenticated`] if it gives none.
    pub async fn authenticate(&self, key: &str) -> Result<Arc<Access>, Error> {
        let digest = KeyDigest::of(key);
        if let Some(access) = self.inner.access.get(&digest) {
            return Ok(access);
        }
        let unknown = || Error::from(Fault::Unauthenticated(CredentialProblem::Unknown));
        let key = self
            .store()
            .key(&digest)
            .await
            .map_err(fault)?
            .ok_or_else(unknown)?;
        if key.revoked_at.is_some() {
            return Err(unknown());
        }
        let app = self
            .store()
            .app(key.project, key.app)
            .await
            .map_err(fault)?;
        let access = Arc::new(Access {
            app: Arc::new(app.ok_or_else(unknown)?),
            key,
        });
        self.inner.access.put(digest, Arc::clone(&access));
        Ok(access)
    }

    /// What a key gives where a request names the app that it means, by the rules of
    /// [`Service::choose_app`].
    pub async fn speak_for(
        &self,
        access: Arc<Access>,
        app_name: &str,
    ) -> Result<Arc<Access>, Error> {
        let app = self.choose_app(&access, |app| app.name == app_name).await?;
        if app.id == access.app.id {
            return Ok(access);
        }
        let key = access.key.clone();
        Ok(Arc::new(Access { key, app }))
    }

    /// The app of the project that `named` accepts, else the key's own app; where names are strict,
    /// [`Fault::NotFound`] instead.
    pub async fn choose_app(
        &self,
        access: &Access,
        named: impl Fn(&App) -> bool + Send,
    ) -> Result<Arc<App>, Error> {
        if named(&access.app) {
            return Ok(Arc::clone(&access.app));
        }
        let apps = self.known_apps(access.key.project).await?;
        match apps.iter().find(|app| named(app)) {
            Some(app) => Ok(Arc::clone(app)),
            None if self.inner.settings.strict_names => Err(Fault::NotFound(Noun::App).into()),
            None => Ok(Arc::clone(&access.app)),
        }
    }

    /// The apps of a project, as they were a moment ago.
    async fn known_apps(&self, project: ProjectId) -> Result<Apps, Error> {
        if let Some(apps) = self.inner.access.apps(project) {
            return Ok(apps);
        }
        let apps = self.store().apps(project).await.map_err(fault)?;
        let apps: Apps = apps.into_iter().map(Arc::new).collect();
        self.inner.access.put_apps(project, Arc::clone(&apps));
        Ok(apps)
    }
}
