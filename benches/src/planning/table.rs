//! The table between two steps.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use driftless_deltalog::head::{Head, Swap};
use driftless_deltalog::item::LogItem;
use driftless_deltalog::ledger::{Call, Run};
use driftless_deltalog::registry::{DestinationEntry, SyncEntry};
use driftless_deltalog::{Deltalog, MemoryDeltalog};
use driftless_model::SyncId;
use driftless_state::SyncState;
use serde::{Deserialize, Serialize};

/// What of the table the next step needs: one sync, its head, what its versions consist of, and its active run.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) sync: Option<SyncEntry>,
    pub(crate) destination: Option<DestinationEntry>,
    pub(crate) head: Option<Head>,
    pub(crate) items: Vec<(u64, Vec<LogItem>)>,
    pub(crate) run: Option<Run>,
    pub(crate) calls: Vec<Call>,
}

const FILE: &str = "table.json";

impl Kept {
    pub(crate) fn read(work: &Path) -> anyhow::Result<Option<Self>> {
        match File::open(work.join(FILE)) {
            Ok(file) => Ok(Some(serde_json::from_reader(BufReader::new(file))?)),
            Err(_) => Ok(None),
        }
    }

    pub(crate) fn write(&self, work: &Path) -> anyhow::Result<()> {
        Ok(serde_json::to_writer(BufWriter::new(File::create(work.join(FILE))?), self)?)
    }

    pub(crate) async fn of(log: &MemoryDeltalog, sync: &SyncId) -> anyhow::Result<Self> {
        let head = log.head(sync).await?;
        let (mut items, mut run, mut calls) = (Vec::new(), None, Vec::new());
        if let Some(head) = &head {
            let nowhere = driftless_objects::MemoryObjects::default();
            let state = SyncState::new(log, &nowhere, head);
            for (number, entry) in head.versions.iter().filter(|(_, entry)| entry.bulk_object().is_none()) {
                let found = log.items(&state.partition(*number, entry), entry.count).await?;
                items.push((*number, found.into_values().collect()));
            }
            if let Some(active) = &head.active_run {
                run = log.run(sync, active).await?;
                calls = log.calls(sync, active).await?;
            }
        }
        let destination = log.destinations().await?.pop();
        Ok(Self { sync: log.sync(sync).await?, destination, head, items, run, calls })
    }

    pub(crate) async fn into_table(self, log: &MemoryDeltalog) -> anyhow::Result<()> {
        if let Some(entry) = &self.sync {
            let _: Swap = log.put_sync(entry).await?;
        }
        if let Some(entry) = &self.destination {
            log.put_destination(entry).await?;
        }
        let Some(head) = self.head else { return Ok(()) };
        let nowhere = driftless_objects::MemoryObjects::default();
        for (number, items) in self.items {
            if let Some(entry) = head.versions.get(&number) {
                let partition = SyncState::new(log, &nowhere, &head).partition(number, entry);
                log.put_items(&partition, &items).await?;
            }
        }
        if let Some(run) = &self.run {
            let _: Swap = log.put_run(run).await?;
            log.put_calls(&head.sync, &self.calls).await?;
        }
        let _: Swap = log.create_head(&head).await?;
        Ok(())
    }
}
