use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use driftless_config::destination::FileMode;
use driftless_model::Outcome;

use super::{
    Asking, FileDrop,
    format::{self, Says},
    manifest::{Manifest, Named, What, place, sha256, text},
    port::OnlyIf,
};
use crate::{
    Answer, Answered, Batch, Capabilities, CheckStep, Connector, Failure, Gate, ListState, Open, OutRow, Page,
};

pub(super) const JSON: &str = "application/json";

#[async_trait]
impl Connector for FileDrop {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn send(&self, batch: &Batch<'_>) -> Answer {
        let asking = Asking::new(batch.gate);
        let written = match (&batch.session, self.config.mode) {
            (Some(session), _) => self.take_part(&asking, session, batch).await,
            (None, FileMode::Deltas) => self.write_changes(&asking, batch).await,
            (None, FileMode::Full | FileMode::Once) => {
                Err(Answered::Fatal { reason: "this destination takes whole lists only".into() })
            }
        };
        let is = match written {
            Ok(()) => Answered::Rows(vec![Outcome::Delivered.into(); batch.rows.len()]),
            Err(answered) => answered,
        };
        Answer { is, requests: asking.requests() }
    }

    /// A list is its name: there is nothing to make.
    async fn create_list(&self, name: &str) -> Result<String, Failure> {
        match self.config.mode {
            FileMode::Once => Ok(name.to_owned()),
            FileMode::Deltas | FileMode::Full => Err(Failure::Unsupported { what: "create a list" }),
        }
    }

    /// Who reads the old list may be reading still: its files are left to the bucket's lifecycle.
    async fn retire_list(&self, _: &str) -> Result<(), Failure> {
        Ok(())
    }

    async fn inspect(&self) -> Result<ListState, Failure> {
        let page = self.list(None, &Open).await?;
        Ok(if page.members.is_empty() && page.next.is_none() { ListState::Empty } else { ListState::NotEmpty })
    }

    async fn list(&self, cursor: Option<String>, _: &dyn Gate) -> Result<Page, Failure> {
        match self.config.mode {
            FileMode::Deltas => self.folded(cursor.as_deref()).await,
            FileMode::Full | FileMode::Once => self.published(cursor.as_deref()).await,
        }
    }

    async fn check(&self) -> Vec<CheckStep> {
        let listed = self.files.list(&self.root).await;
        let result = listed.map(|keys| format!("{} files", keys.len())).map_err(|trouble| trouble.to_string());
        vec![CheckStep { name: "list the files", result }]
    }
}

impl FileDrop {
    /// Writes the changes, then the manifest that names them. Acknowledged by the manifest.
    async fn write_changes(&self, asking: &Asking<'_>, batch: &Batch<'_>) -> Result<(), Answered> {
        let says = Says::of(batch.operation);
        let bytes = format::write(&self.config.format, Some(says), batch.rows);
        let base = place::delta(batch.idempotency_key);
        let file = self.data_file(asking, &base, bytes, batch.rows.len()).await?;
        let manifest = Manifest {
            version: 1,
            what: What::Delta,
            list: self.list.clone(),
            written_at: self.clock.now(),
            session: None,
            records: file.records,
            schema: format::schema(&self.config.format, true, identifiers(batch.rows)),
            files: vec![file],
        };
        // A manifest that is there is of an earlier try of these very rows, and complete.
        self.write(asking, &format!("{base}.json"), text(&manifest), JSON, OnlyIf::Absent).await.map(drop)
    }

    /// Writes a data file under a name that has its digest: one that is there has the same bytes.
    pub(super) async fn data_file(
        &self,
        asking: &Asking<'_>,
        base: &str,
        bytes: Vec<u8>,
        records: usize,
    ) -> Result<Named, Answered> {
        let sha256 = sha256(&bytes);
        let extension = format::extension(&self.config.format);
        let name = format!("{base}.{}.{extension}", sha256.get(..16).unwrap_or_default());
        let (size, kind) = (bytes.len() as u64, format::content_type(&self.config.format));
        self.write(asking, &name, bytes, kind, OnlyIf::Absent).await?;
        Ok(Named { name, records: records as u64, bytes: size, sha256 })
    }

    /// Writes a file. Whether it was written.
    pub(super) async fn write(
        &self,
        asking: &Asking<'_>,
        place: &str,
        bytes: Vec<u8>,
        content_type: &'static str,
        only: OnlyIf<'_>,
    ) -> Result<bool, Answered> {
        asking.pass().await?;
        Ok(self.files.write(&self.key(place), Bytes::from(bytes), content_type, only).await?)
    }
}

/// The fields that identify these rows.
pub(super) fn identifiers(rows: &[OutRow]) -> BTreeSet<String> {
    rows.iter().flat_map(|row| &row.identifiers).map(|identifier| identifier.field.clone()).collect()
}
