//! The registry, and the small items: version records, refused input, ticks and tombstones.

use std::collections::BTreeSet;

use driftless_model::{DatasetId, DestinationId, KeyHash, SyncId};

use super::DynamoDeltalog;
use super::attribute::{Attributes, Reader, json, n, s};
use super::failure::Operation;
use super::key::{self, SK};
use super::table::{Range, Write};
use crate::Result;
use crate::head::Swap;
use crate::item::VersionRecord;
use crate::ledger::InputReject;
use crate::registry::{DestinationEntry, SharedToken, SyncEntry};

const PUT: Operation = Operation::small("PutItem");

fn decode_sync(item: &Attributes) -> Result<SyncEntry> {
    Reader::new(item, "a registered sync").json("entry")
}

fn decode_token(item: &Attributes) -> Result<SharedToken> {
    let reader = Reader::new(item, "a shared token");
    Ok(SharedToken { revision: reader.number("revision")?, document: reader.text("document")?.to_owned() })
}

impl DynamoDeltalog {
    pub(super) async fn write_sync(&self, entry: &SyncEntry) -> Result<Swap> {
        let item = key::sync(&entry.sync).item([("revision", n(entry.revision)), ("entry", json(entry)?)]);
        let Some(before) = entry.revision.checked_sub(1) else {
            return Ok(match self.table.put_if_absent(PUT, item).await? {
                Write::Refused(Some(there)) if decode_sync(&there)? != *entry => Swap::Lost,
                _ => Swap::Done,
            });
        };
        let values = Attributes::from([(":before".to_owned(), n(before))]);
        match self.table.put(PUT, item, "attribute_not_exists(#pk) OR #revision = :before", values).await? {
            Write::Refused(Some(there)) if decode_sync(&there)? != *entry => Ok(Swap::Lost),
            _ => Ok(Swap::Done),
        }
    }

    pub(super) async fn read_sync(&self, sync: &SyncId) -> Result<Option<SyncEntry>> {
        self.table.get(&key::sync(sync)).await?.map(|item| decode_sync(&item)).transpose()
    }

    pub(super) async fn read_syncs(&self) -> Result<Vec<SyncEntry>> {
        self.table.query(key::SYNCS, Range::default()).await?.iter().map(decode_sync).collect()
    }

    pub(super) async fn write_destination(&self, entry: &DestinationEntry) -> Result<()> {
        let item = key::destination(&entry.destination).item([("entry", json(entry)?)]);
        self.table.put(PUT, item, "", Attributes::new()).await.map(|_| ())
    }

    pub(super) async fn read_destinations(&self) -> Result<Vec<DestinationEntry>> {
        let items = self.table.query(key::DESTINATIONS, Range::default()).await?;
        items.iter().map(|item| Reader::new(item, "a registered destination").json("entry")).collect()
    }

    pub(super) async fn write_version_record(&self, sync: &SyncId, record: &VersionRecord) -> Result<()> {
        let key = key::version_record(sync, record.incarnation, record.version);
        self.table.put(PUT, key.item([("record", json(record)?)]), "", Attributes::new()).await.map(|_| ())
    }

    pub(super) async fn read_version_records(&self, sync: &SyncId) -> Result<Vec<VersionRecord>> {
        let range = Range { prefix: Some(key::VERSION_PREFIX), newest_first: true, ..Range::default() };
        let items = self.table.query(&key::sync_partition(sync), range).await?;
        items.iter().map(|item| Reader::new(item, "a version record").json("record")).collect()
    }

    pub(super) async fn write_input_reject(&self, dataset: &str, reject: &InputReject, expires_at: i64) -> Result<()> {
        let key = key::input_reject(dataset, &reject.subject);
        let item = key.item([("reject", json(reject)?), ("expires_at", n(expires_at))]);
        self.table.put(PUT, item, "", Attributes::new()).await.map(|_| ())
    }

    pub(super) async fn read_input_rejects(&self, dataset: &str) -> Result<Vec<InputReject>> {
        let items = self.table.query(&key::input_reject_partition(dataset), Range::default()).await?;
        let read = items.iter().map(|item| Reader::new(item, "a refused input").json("reject"));
        let mut rejects: Vec<InputReject> = read.collect::<Result<_>>()?;
        rejects.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.subject.cmp(&b.subject)));
        Ok(rejects)
    }

    pub(super) async fn is_tick_claimed(&self, sync: &SyncId, tick: &str) -> Result<bool> {
        Ok(self.table.get(&key::tick(sync, tick)).await?.is_some())
    }

    pub(super) async fn read_tombstones(&self, dataset: &DatasetId) -> Result<BTreeSet<KeyHash>> {
        let keys_only = Range { keys_only: true, ..Range::default() };
        let items = self.table.query(&key::tombstone_partition(dataset), keys_only).await?;
        items.iter().map(|item| Reader::new(item, "a tombstone").parsed(SK)).collect()
    }

    pub(super) async fn read_shared_token(&self, destination: &DestinationId) -> Result<Option<SharedToken>> {
        self.table.get(&key::shared_token(destination)).await?.map(|item| decode_token(&item)).transpose()
    }

    pub(super) async fn write_shared_token(
        &self,
        destination: &DestinationId,
        expected: Option<u64>,
        token: &SharedToken,
    ) -> Result<Swap> {
        let item = key::shared_token(destination)
            .item([("revision", n(token.revision)), ("document", s(token.document.as_str()))]);
        let written = match expected {
            None => self.table.put_if_absent(PUT, item).await?,
            Some(expected) => {
                let values = Attributes::from([(":expected".to_owned(), n(expected))]);
                self.table.put(PUT, item, "#revision = :expected", values).await?
            }
        };
        match written {
            Write::Refused(Some(there)) if decode_token(&there)? == *token => Ok(Swap::Done),
            Write::Refused(_) => Ok(Swap::Lost),
            Write::Done(_) => Ok(Swap::Done),
        }
    }
}
