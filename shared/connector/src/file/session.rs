//! A whole list, sent in parts.

use std::collections::BTreeSet;

use driftless_config::destination::FileMode;
use driftless_model::{Millis, Session};
use serde::de::DeserializeOwned;

use super::{
    Asking, FileDrop,
    connector::{JSON, identifiers},
    format,
    manifest::{Current, Manifest, Once, PartNote, What, place, sha256, text},
    port::{OnlyIf, StoredFile},
};
use crate::{Answered, Batch};

/// Times that `current.json` is read again because another session changed it meanwhile.
const RACES: usize = 4;
/// Names whose session a list of mode `once` was begun by.
const OWNER: &str = "session.json";

impl FileDrop {
    /// Writes a part; the last one publishes the list. Repeatable: whatever is there of an earlier try is the same, or is
    /// replaced.
    pub(super) async fn take_part(
        &self,
        asking: &Asking<'_>,
        session: &Session,
        batch: &Batch<'_>,
    ) -> Result<(), Answered> {
        if self.config.mode == FileMode::Once {
            self.own(asking, session).await?;
        }
        let bytes = format::write(&self.config.format, None, batch.rows);
        let part = place::part(session);
        let file = self.data_file(asking, &part, bytes, batch.rows.len()).await?;
        let note = PartNote { file, identifiers: identifiers(batch.rows) };
        self.write(asking, &format!("{part}.json"), text(&note), JSON, OnlyIf::Always).await?;
        if session.last() { self.publish(asking, session, note).await } else { Ok(()) }
    }

    /// A list that is written once belongs to one session.
    async fn own(&self, asking: &Asking<'_>, session: &Session) -> Result<(), Answered> {
        let owner = Once { session: session.number };
        if self.write(asking, OWNER, text(&owner), JSON, OnlyIf::Absent).await? {
            return Ok(());
        }
        match self.document::<Once>(asking, OWNER).await? {
            Some((there, _)) if there == owner => Ok(()),
            _ => Err(Answered::Fatal {
                reason: "this list was written already and is never written again; send to a new list".into(),
            }),
        }
    }

    /// Names all parts in one manifest, and makes it the newest.
    async fn publish(&self, asking: &Asking<'_>, session: &Session, last: PartNote) -> Result<(), Answered> {
        let (mut files, mut all) = (Vec::new(), BTreeSet::new());
        for part in 1..session.parts {
            let part = place::part(&Session { part, ..*session });
            let Some((note, _)) = self.document::<PartNote>(asking, &format!("{part}.json")).await? else {
                return Err(Answered::Unavailable {
                    reason: "a part of the list is missing; nothing is published".into(),
                });
            };
            all.extend(note.identifiers);
            files.push(note.file);
        }
        all.extend(last.identifiers);
        files.push(last.file);
        let manifest = Manifest {
            version: 1,
            what: What::Full,
            list: self.list.clone(),
            written_at: self.clock.now(),
            session: Some(session.number),
            records: files.iter().map(|file| file.records).sum(),
            schema: format::schema(&self.config.format, false, all),
            files,
        };
        let place = match self.config.mode {
            FileMode::Once => place::MANIFEST.to_owned(),
            FileMode::Deltas | FileMode::Full => format!("{}{}", place::session(session.number), place::MANIFEST),
        };
        let mut bytes = text(&manifest);
        let mut written_at = manifest.written_at;
        if !self.write(asking, &place, bytes.clone(), JSON, OnlyIf::Absent).await? {
            // An earlier try of this session got there, and perhaps no further.
            let Some((there, stored)) = self.document::<Manifest>(asking, &place).await? else {
                return Err(Answered::Unavailable { reason: "the manifest is gone".into() });
            };
            (written_at, bytes) = (there.written_at, stored.bytes.to_vec());
        }
        if self.config.mode == FileMode::Once {
            return Ok(());
        }
        let current = Current { version: 1, manifest: place, sha256: sha256(&bytes), written_at };
        self.point(asking, &current).await
    }

    /// Makes a manifest the newest, unless a newer one is.
    async fn point(&self, asking: &Asking<'_>, current: &Current) -> Result<(), Answered> {
        for _ in 0..RACES {
            let there = self.document::<Current>(asking, place::CURRENT).await?;
            let only = match &there {
                None => OnlyIf::Absent,
                Some((there, _)) if there == current => return Ok(()),
                Some((there, _)) if there.written_at > current.written_at => {
                    return Err(Answered::Unavailable { reason: "a newer list is there".into() });
                }
                Some((_, stored)) => OnlyIf::Matches(&stored.etag),
            };
            if self.write(asking, place::CURRENT, text(current), JSON, only).await? {
                return Ok(());
            }
        }
        Err(Answered::Unavailable { reason: "others change which list is the newest".into() })
    }

    /// A document of ours, if it is there. A read that is not answered changed nothing.
    pub(super) async fn document<T: DeserializeOwned>(
        &self,
        asking: &Asking<'_>,
        place: &str,
    ) -> Result<Option<(T, StoredFile)>, Answered> {
        asking.pass().await?;
        let stored = self.files.read(&self.key(place)).await.map_err(|trouble| match trouble.into() {
            Answered::NoAnswer { reason } => Answered::Unavailable { reason },
            other => other,
        })?;
        let Some(stored) = stored else { return Ok(None) };
        let document = serde_json::from_slice(&stored.bytes)
            .map_err(|_| Answered::Fatal { reason: "a file of this list is not what we wrote; move it away".into() })?;
        Ok(Some((document, stored)))
    }

    /// When the newest whole list was made, with its manifest.
    pub(super) async fn newest(&self, asking: &Asking<'_>) -> Result<Option<(Millis, Manifest)>, Answered> {
        let place = match self.config.mode {
            FileMode::Once => place::MANIFEST.to_owned(),
            FileMode::Deltas | FileMode::Full => match self.document::<Current>(asking, place::CURRENT).await? {
                Some((current, _)) => current.manifest,
                None => return Ok(None),
            },
        };
        let manifest = self.document::<Manifest>(asking, &place).await?;
        Ok(manifest.map(|(manifest, _)| (manifest.written_at, manifest)))
    }
}
