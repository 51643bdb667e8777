//! All that one `apply` has to do, found out before anything is written, and then done.

use std::collections::BTreeMap;

use bytes::Bytes;
use driftless_config::Project;
use driftless_delivery::Message;
use driftless_deltalog::head::{Names, Swap};
use driftless_deltalog::registry::{DestinationEntry, SyncEntry};
use driftless_model::{DestinationId, SyncId};
use driftless_state::names;
use serde::Serialize;

use super::entry::{Meaning, Wanted, entry};
use crate::ended::Trouble;
use crate::schedules::{Rule, comparing, comparing_rule, rule};
use crate::session::Session;

/// What becomes of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ScheduleChange {
    /// As it is.
    Same,
    /// Created.
    Create(Rule),
    /// Changed.
    Update(Rule),
    /// Deleted: the sync no longer goes by a clock, or is gone.
    Delete,
}

impl ScheduleChange {
    /// What takes a schedule from how it is to how it should be.
    pub(crate) fn between(is: Option<&Rule>, should: Option<Rule>) -> Self {
        match (is, should) {
            (None, None) => Self::Same,
            (Some(_), None) => Self::Delete,
            (None, Some(rule)) => Self::Create(rule),
            (Some(is), Some(rule)) if *is == rule => Self::Same,
            (Some(_), Some(rule)) => Self::Update(rule),
        }
    }

    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Create(_) => "created",
            Self::Update(_) => "changed",
            Self::Delete => "deleted",
        }
    }
}

/// One sync of the project.
pub(crate) struct SyncWork {
    pub(crate) entry: SyncEntry,
    pub(crate) meaning: Meaning,
    pub(crate) schedule: ScheduleChange,
    /// The schedule by which its list is compared.
    pub(crate) comparing: ScheduleChange,
    document: Bytes,
}

/// One destination of the project.
pub(crate) struct DestinationWork {
    pub(crate) entry: DestinationEntry,
    pub(crate) changed: bool,
    document: Bytes,
}

/// All that is to be done.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) destinations: Vec<DestinationWork>,
    pub(crate) syncs: Vec<SyncWork>,
    /// Registered, and no longer in the project.
    pub(crate) gone_syncs: Vec<SyncEntry>,
    pub(crate) gone_destinations: Vec<DestinationId>,
    /// Destinations that no sync uses and that are not deployed.
    pub(crate) idle: Vec<DestinationId>,
}

impl Work {
    /// True if there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.gone_syncs.is_empty()
            && self.gone_destinations.is_empty()
            && self.destinations.iter().all(|d| !d.changed)
            && self.syncs.iter().all(|s| {
                let schedules = [&s.schedule, &s.comparing];
                s.meaning == Meaning::Same && schedules.iter().all(|change| **change == ScheduleChange::Same)
            })
    }

    /// What cannot be taken back, one line each: it is confirmed first.
    pub(crate) fn drastic(&self) -> Vec<String> {
        let gone = self.gone_syncs.iter().map(|e| {
            format!("sync {} is no longer in the project: it is deleted; the members of its list stay", e.sync)
        });
        let other = self
            .syncs
            .iter()
            .filter(|s| s.meaning == Meaning::OtherList)
            .map(|s| format!("sync {} points at another list: it {}", s.entry.sync, Meaning::OtherList.follows()));
        gone.chain(other).collect()
    }

    /// Compares the project with what is registered. Reads only.
    ///
    /// # Errors
    /// [`Trouble`] if the stack, or the connector of a destination in use, is not deployed.
    pub(crate) async fn find(session: &Session, project: &Project) -> anyhow::Result<Self> {
        let stored = match session.log.syncs().await {
            Err(driftless_deltalog::Error::NoTable { table }) => {
                return Err(session.not_deployed(&format!("table {table}")).into());
            }
            other => other?,
        };
        let mut stored: BTreeMap<SyncId, SyncEntry> = stored.into_iter().map(|e| (e.sync.clone(), e)).collect();
        for part in ["ingest", "planner", "janitor"] {
            session.core_queue(part).await?;
        }
        let mut work = Self::default();
        work.find_destinations(session, project).await?;
        for (name, config) in &project.syncs {
            let Some(destination) = project.destinations.get(&config.destination) else { continue };
            let document = Bytes::from(serde_json::to_vec(config)?);
            let wanted = Wanted {
                sync: name,
                config,
                object: names::sync_document(name, &document),
                names: Names {
                    dataset: config.dataset.clone(),
                    source: format!("s3://{}/{}", session.bucket, config.dataset.prefix()),
                    kind: destination.kind().as_str().to_owned(),
                    destination: config.destination.clone(),
                    list: config.list.clone().unwrap_or_default(),
                },
            };
            let last = session.log.head(name).await?.map(|h| h.incarnation);
            let (entry, meaning) = entry(&wanted, stored.remove(name).as_ref(), last, session.clock.now());
            let is = session.schedules.get(name.as_str()).await?;
            let should = rule(name, &config.schedule, &session.stage, &session.place);
            let schedule = ScheduleChange::between(is.as_ref(), should);
            let is = session.schedules.get(&comparing(name)).await?;
            let should = comparing_rule(name, &config.reconcile.schedule, &session.stage, &session.place);
            let comparing = ScheduleChange::between(is.as_ref(), should);
            work.syncs.push(SyncWork { entry, meaning, schedule, comparing, document });
        }
        work.gone_syncs = stored.into_values().collect();
        Ok(work)
    }

    async fn find_destinations(&mut self, session: &Session, project: &Project) -> anyhow::Result<()> {
        let stored = session.log.destinations().await?;
        let mut stored: BTreeMap<_, _> = stored.into_iter().map(|e| (e.destination.clone(), e)).collect();
        for (name, config) in &project.destinations {
            let queue = session.stage.destination(name);
            let queue_url = match session.queue.queue_url(&queue).await {
                Ok(url) => url,
                Err(driftless_delivery::Error::NoQueue { .. }) => {
                    if project.syncs.values().any(|s| s.destination == *name) {
                        return Err(not_connected(session, name, &queue).into());
                    }
                    self.idle.push(name.clone());
                    continue;
                }
                Err(e) => return Err(e.into()),
            };
            let document = Bytes::from(serde_json::to_vec(config)?);
            let old = stored.remove(name);
            let entry = DestinationEntry {
                destination: name.clone(),
                kind: config.kind().as_str().to_owned(),
                object: names::destination_document(name, &document),
                queue_url,
                applied_at: session.clock.now(),
            };
            let same =
                old.is_some_and(|o| o.kind == entry.kind && o.object == entry.object && o.queue_url == entry.queue_url);
            self.destinations.push(DestinationWork { entry, changed: !same, document });
        }
        self.gone_destinations = stored.into_keys().filter(|d| !project.destinations.contains_key(d)).collect();
        Ok(())
    }

    /// Does it. Each step is repeatable, and a later one never needs what an earlier one has not written: whoever is stopped
    /// half-way applies again.
    pub(crate) async fn carry_out(&self, session: &Session, say: impl Fn(String)) -> anyhow::Result<()> {
        for d in self.destinations.iter().filter(|d| d.changed) {
            say(format!("destination {}", d.entry.destination));
            session.objects.create(&d.entry.object, d.document.clone()).await?;
            session.log.put_destination(&d.entry).await?;
        }
        for s in &self.syncs {
            let sync = &s.entry.sync;
            say(format!("sync {sync}"));
            if s.meaning != Meaning::Same {
                session.objects.create(&s.entry.object, s.document.clone()).await?;
                if session.log.put_sync(&s.entry).await? == Swap::Lost {
                    return Err(
                        Trouble::new(format!("somebody else changed sync `{sync}` meanwhile"), "apply again").into()
                    );
                }
            }
            change_schedule(session, sync.as_str(), &s.schedule).await?;
            change_schedule(session, &comparing(sync), &s.comparing).await?;
            if s.meaning.ingests() {
                let message = Message::Ingest {
                    dataset: s.entry.dataset.clone(),
                    sync: Some(sync.clone()),
                    cause: "apply".to_owned(),
                    then_plan: None,
                };
                session.send("ingest", &message).await?;
            }
        }
        for gone in &self.gone_syncs {
            say(format!("deleting sync {}", gone.sync));
            // The schedule first: were it left behind, nobody would know of it.
            session.schedules.delete(gone.sync.as_str()).await?;
            session.schedules.delete(&comparing(&gone.sync)).await?;
            session.log.delete_sync(&gone.sync).await?;
        }
        for gone in &self.gone_destinations {
            session.log.delete_destination(gone).await?;
        }
        Ok(())
    }
}

async fn change_schedule(session: &Session, name: &str, change: &ScheduleChange) -> anyhow::Result<()> {
    match change {
        ScheduleChange::Same => Ok(()),
        ScheduleChange::Create(rule) => session.schedules.put(name, rule, false).await,
        ScheduleChange::Update(rule) => session.schedules.put(name, rule, true).await,
        ScheduleChange::Delete => session.schedules.delete(name).await,
    }
}

fn not_connected(session: &Session, destination: &DestinationId, queue: &str) -> Trouble {
    Trouble::new(
        format!("the connector of destination `{destination}` is not deployed (there is no queue {queue})"),
        format!(
            "deploy it: sam deploy -t infra/connector.yaml --config-env destination --stack-name {queue} \
             --parameter-overrides Stage={} DestinationId={destination} SecretArns=<ARNs of its secrets>",
            session.stage
        ),
    )
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Told<'a> {
    kind: &'static str,
    name: &'a str,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<&'static str>,
    /// The schedule by which the list is compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    reconcile: Option<&'static str>,
}

impl Work {
    /// What is done with each sync and destination.
    pub(crate) fn told(&self) -> Vec<Told<'_>> {
        let destinations = self.destinations.iter().map(|d| Told {
            kind: "destination",
            name: d.entry.destination.as_str(),
            change: if d.changed { "applied" } else { "same" },
            schedule: None,
            reconcile: None,
        });
        let syncs = self.syncs.iter().map(|s| Told {
            kind: "sync",
            name: s.entry.sync.as_str(),
            change: s.meaning.as_str(),
            schedule: Some(s.schedule.as_str()),
            reconcile: Some(s.comparing.as_str()),
        });
        let gone = |kind, name| Told { kind, name, change: "deleted", schedule: None, reconcile: None };
        let gone_syncs = self.gone_syncs.iter().map(|e| gone("sync", e.sync.as_str()));
        let gone_destinations = self.gone_destinations.iter().map(|d| gone("destination", d.as_str()));
        destinations.chain(syncs).chain(gone_syncs).chain(gone_destinations).collect()
    }
}
