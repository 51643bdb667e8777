//! The list as a reader of its files has it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use driftless_model::{Identifier, IdentifierSet, Millis};

use super::{
    Asking, FileDrop,
    format::{self, ReadRow, Says},
    manifest::{Manifest, Named, Schema, place, sha256},
};
use crate::{Answered, Failure, Member, Open, Page};

/// Members of a page, where the list is put together from changes.
const PAGE: usize = 10_000;

impl FileDrop {
    /// A page of the newest whole list: one of its files.
    pub(super) async fn published(&self, cursor: Option<&str>) -> Result<Page, Failure> {
        let asking = Asking::new(&Open);
        let Some((_, manifest)) = self.newest(&asking).await.map_err(failure)? else { return Ok(Page::default()) };
        // A list that was replaced meanwhile is read from the start.
        let (session, nth) = match cursor {
            None => (manifest.session, 0),
            Some(cursor) => parsed(cursor).ok_or_else(not_a_cursor)?,
        };
        if session != manifest.session {
            return Err(Failure::Unavailable { reason: "the list was replaced while it was read".into() });
        }
        let Some(file) = manifest.files.get(nth) else { return Ok(Page::default()) };
        let rows = self.rows(&manifest.schema, file).await?;
        let members = rows.into_iter().map(|row| Member { identifiers: row.identifiers, remote_id: None }).collect();
        let next = (nth + 1 < manifest.files.len()).then(|| format!("{}-{}", session.unwrap_or(0), nth + 1));
        Ok(Page { members, next })
    }

    /// A page of the list as its changes made it. They are read once for all pages, and held meanwhile.
    pub(super) async fn folded(&self, cursor: Option<&str>) -> Result<Page, Failure> {
        let held = self.members.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let members = match held.filter(|_| cursor.is_some()) {
            Some(members) => members,
            None => Arc::new(self.put_together().await?),
        };
        let from: usize = cursor.map_or(Ok(0), str::parse).map_err(|_| not_a_cursor())?;
        let page = members.values().skip(from).take(PAGE);
        let page: Vec<Member> = page.map(|ids| Member { identifiers: ids.clone(), remote_id: None }).collect();
        let next = from + page.len();
        let more = next < members.len();
        *self.members.lock().unwrap_or_else(PoisonError::into_inner) = more.then_some(members);
        Ok(Page { members: page, next: more.then(|| next.to_string()) })
    }

    async fn put_together(&self) -> Result<BTreeMap<String, IdentifierSet>, Failure> {
        let asking = Asking::new(&Open);
        let mut holders = BTreeMap::new();
        let base = self.newest(&asking).await.map_err(failure)?;
        let since = base.as_ref().map(|(written_at, _)| *written_at);
        if let Some((_, manifest)) = base {
            for file in &manifest.files {
                apply(&mut holders, self.rows(&manifest.schema, file).await?);
            }
        }
        let mut changes: Vec<(Millis, Manifest)> = Vec::new();
        for key in self.files.list(&self.key(place::DELTAS)).await? {
            let Some(place) = key.strip_prefix(&self.root).filter(|place| is_manifest(place)) else { continue };
            if let Some((manifest, _)) = self.document::<Manifest>(&asking, place).await.map_err(failure)? {
                changes.push((manifest.written_at, manifest));
            }
        }
        changes.retain(|(written_at, _)| since.is_none_or(|since| *written_at > since));
        changes.sort_by_key(|(written_at, _)| *written_at);
        for (_, manifest) in changes {
            for file in &manifest.files {
                apply(&mut holders, self.rows(&manifest.schema, file).await?);
            }
        }
        let mut members: BTreeMap<String, IdentifierSet> = BTreeMap::new();
        for (identifier, key) in holders {
            members.entry(key).or_default().insert(identifier);
        }
        Ok(members)
    }

    /// The rows of a file, if it is what its manifest says.
    async fn rows(&self, schema: &Schema, file: &Named) -> Result<Vec<ReadRow>, Failure> {
        let wrong = || Failure::Fatal { reason: format::Unreadable.to_string() };
        let stored = self.files.read(&self.key(&file.name)).await?.ok_or_else(wrong)?;
        if sha256(&stored.bytes) != file.sha256 {
            return Err(wrong());
        }
        format::read(schema, &stored.bytes).map_err(|_| wrong())
    }
}

/// Who holds each identifier. One that changes hands is not removed from the one before.
fn apply(holders: &mut BTreeMap<Identifier, String>, rows: Vec<ReadRow>) {
    for row in rows {
        for identifier in row.identifiers {
            match row.says {
                Says::Add => drop(holders.insert(identifier, row.key.clone())),
                Says::Remove => drop(holders.remove(&identifier)),
            }
        }
    }
}

fn is_manifest(place: &str) -> bool {
    // Data files have their digest before the extension.
    place.rsplit_once('/').and_then(|(_, name)| name.strip_suffix(".json")).is_some_and(|name| !name.contains('.'))
}

fn parsed(cursor: &str) -> Option<(Option<u64>, usize)> {
    let (session, nth) = cursor.split_once('-')?;
    Some((Some(session.parse().ok()?), nth.parse().ok()?))
}

fn not_a_cursor() -> Failure {
    Failure::Fatal { reason: "not a cursor of this list".into() }
}

fn failure(answered: Answered) -> Failure {
    match answered {
        Answered::Throttled { after, reason } => Failure::Throttled { after, reason },
        Answered::Fatal { reason } | Answered::BatchRejected { reason } => Failure::Fatal { reason },
        Answered::Unavailable { reason } | Answered::NoAnswer { reason } => Failure::Unavailable { reason },
        _ => Failure::Unavailable { reason: "no answer".into() },
    }
}
