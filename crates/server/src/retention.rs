//! What projects keep no longer is erased, with receipts, as an operator would erase it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use parlance_domain::fault::Chain;
use parlance_domain::service::{EraseOrder, Tally};
use parlance_domain::{Error, Fault, Project, ProjectId, Service};

use crate::config::Retention;

/// The rule that an operator has set, and what was reported of it.
#[derive(Clone)]
pub(crate) struct Keeper {
    service: Service,
    rule: Arc<Retention>,
    /// How many conversations a hold has kept in each project, when that was last reported.
    held: Arc<Mutex<BTreeMap<ProjectId, u64>>>,
}

impl Keeper {
    /// Refuses a rule for a project that is not there: it would be thought to hold, and would not.
    pub(crate) async fn new(service: &Service, rule: &Retention) -> anyhow::Result<Self> {
        let projects = service.projects().await;
        let projects = projects.context("could not read the projects")?;
        let is_there = |name: &&str| projects.iter().any(|project| project.name == *name);
        if let Some(name) = rule.named().find(|name| !is_there(name)) {
            bail!("there is no project `{name}`, which `retention.projects` names");
        }
        Ok(Self {
            service: service.clone(),
            rule: Arc::new(rule.clone()),
            held: Arc::default(),
        })
    }

    /// Erases what is due now, project by project.
    pub(crate) async fn look(&self) {
        let projects = match self.service.projects().await {
            Ok(projects) => projects,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "could not look for what is kept no longer");
                return;
            }
        };
        for project in projects {
            let Some(kept) = self.rule.of(&project.name) else {
                continue;
            };
            let order = EraseOrder {
                project: project.id,
                user: None,
                unchanged_for: Some(kept),
            };
            match self.service.erase(&order).finish().await {
                Ok(tally) => self.report(&project, tally),
                Err(Error {
                    fault: Fault::Cancelled,
                    ..
                }) => return,
                Err(error) => tracing::warn!(
                    error = %Chain(&error), project = project.name,
                    "could not erase all that is kept no longer: trying again later"
                ),
            }
        }
    }

    /// What a hold keeps is reported once, and again when it is another number.
    fn report(&self, project: &Project, tally: Tally) {
        let (erased, held) = (tally.conversations, tally.held_conversations);
        let mut reported = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let before = reported.insert(project.id, held).unwrap_or(0);
        if erased > 0 || held != before {
            tracing::info!(
                project = project.name,
                erased,
                held,
                "erased {erased} conversations that are kept no longer, and left {held}, which a hold covers"
            );
        }
    }
}
