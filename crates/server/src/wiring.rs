//! Puts the concrete parts together: the one place that knows which there are.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use parlance_domain::service::Ports;
use parlance_domain::tasks::Tasks;
use parlance_domain::{Clock, IdSource, Notary, Service, Settings, Store, SystemClock};
use parlance_store::Renewal;
use parlance_store::keyring::{Root, RootCommand, RootFile};
use parlance_store::sqlite::{self, Keys, Sqlite};
use parlance_upstream::Models;
use parlance_upstream::openai_chat::{Client, OpenAiChat};
use rand::TryRng;
use rand::rngs::SysRng;

use crate::config::{Config, Durability, KeyringSettings};
use crate::data_dir::DataDir;

/// What is kept on the disk for deletes, beside twice the largest request: an item is as large at most.
const BALLAST_BYTES: u64 = 8 << 20;

/// The service, with the store that has to be closed in the end.
pub(crate) struct Wired {
    pub(crate) service: Service,
    pub(crate) store: Arc<Sqlite>,
    pub(crate) tasks: Tasks,
}

/// Who keeps the root key, if it is not a file in the keyring.
fn root(settings: &KeyringSettings) -> Option<Arc<dyn Root>> {
    let (program, arguments) = settings.root_command.split_first()?;
    Some(Arc::new(RootCommand::new(program, arguments.to_owned())))
}

/// Who keeps the root key of the keyring in this folder.
pub(crate) fn root_beside(settings: &KeyringSettings, folder: &Path) -> Arc<dyn Root> {
    root(settings).unwrap_or_else(|| Arc::new(RootFile::beside(folder, None)))
}

/// What ids begin their chance with.
pub(crate) fn seed() -> anyhow::Result<[u8; 32]> {
    let mut seed = [0; 32];
    SysRng
        .try_fill_bytes(&mut seed)
        .context("the system gives no random bits")?;
    Ok(seed)
}

/// Who signs receipts: always the same for one store.
fn notary(store: &Sqlite) -> anyhow::Result<Notary> {
    let salting = store.secret("receipt salt");
    let signing = store.secret("receipt signing");
    let build = concat!("parlance ", env!("CARGO_PKG_VERSION"));
    Notary::new(&salting, &signing, build).context("could not make the key that signs receipts")
}

/// Whether models are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    /// They are.
    Models,
    /// Their names are enough.
    Nobody,
}

/// The models that are configured.
fn models(
    config: &Config,
    asking: Asking,
    clock: &Arc<dyn Clock>,
    ids: &Arc<IdSource>,
) -> anyhow::Result<Models> {
    let servers = config.servers()?;
    let is_encrypted = servers.iter().any(|(_, server)| server.url.is_encrypted());
    let encrypts = asking == Asking::Models && is_encrypted;
    let client = Client::new(Arc::clone(clock), Arc::clone(ids), encrypts);
    let client = client.context("could not make the client that asks models")?;
    let mut models = Vec::with_capacity(servers.len());
    for (info, server) in servers {
        let model = OpenAiChat::new(client.clone(), server).with_context(|| {
            format!("the key of the model `{}` does not fit a header", info.name)
        })?;
        models.push((info, model));
    }
    Ok(Models::new(models))
}

/// Opens the store and puts the service over it. The directory must be locked.
pub(crate) fn wire(config: &Config, dir: &DataDir, asking: Asking) -> anyhow::Result<Wired> {
    let durability = match config.durability {
        Durability::Power => sqlite::Durability::Power,
        Durability::Process => sqlite::Durability::Process,
    };
    let keys = Keys::Keyring {
        root: root(&config.keyring),
        mirror: config.keyring.mirror.clone(),
        renewal: if config.keyring.rekey_strict {
            Renewal::WithDeletes
        } else {
            Renewal::WhenAsked
        },
    };
    let largest = u64::try_from(config.http.body_bytes_max).unwrap_or(u64::MAX);
    let options = sqlite::Options {
        durability,
        keys,
        ballast_bytes: largest.saturating_mul(2).saturating_add(BALLAST_BYTES),
        ..sqlite::Options::default()
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids = Arc::new(IdSource::new(Arc::clone(&clock), seed()?));
    let model = Arc::new(models(config, asking, &clock, &ids)?);
    let store = Sqlite::open(dir.path(), options)
        .with_context(|| format!("could not open the store in `{}`", dir.path().display()))?;
    let store = Arc::new(store);
    let tasks = Tasks::default();
    let port: Arc<dyn Store> = Arc::<Sqlite>::clone(&store);
    let ports = Ports {
        store: port,
        model,
        clock,
        ids,
        tasks: tasks.clone(),
        notary: Arc::new(notary(&store)?),
    };
    let settings = Settings {
        strict_names: config.strict_names,
        default_model: config.default_model().to_owned(),
    };
    Ok(Wired {
        service: Service::new(ports, settings),
        store,
        tasks,
    })
}
