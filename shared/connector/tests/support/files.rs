//! A bucket in memory, with faults, and a reader of what is dropped there that shares no code with the writer.
#![allow(clippy::case_sensitive_file_extension_comparisons)] // the keys are ours

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use driftless_connector::{Buckets, FileTrouble, Files, OnlyIf, StoredFile};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What goes wrong with a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Nothing is written, and that is said.
    Refused(FileTrouble),
    /// Nothing is written, and nothing is heard.
    LosesRequest,
    /// It is written, and nothing is heard.
    LosesAnswer,
}

/// Decides what the next write meets.
pub type Decides = Box<dyn FnMut(&str) -> Option<Broken> + Send>;

/// One bucket.
#[derive(Clone, Default)]
pub struct MemoryBucket {
    state: Arc<Mutex<State>>,
    #[cfg(feature = "conformance")]
    faults: Option<super::faults::Faults>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, (Bytes, u64)>,
    writes: u64,
    broken: VecDeque<Option<Broken>>,
    decides: Option<Decides>,
}

impl MemoryBucket {
    /// A bucket with the fault layer before it.
    #[cfg(feature = "conformance")]
    pub fn behind(faults: super::faults::Faults) -> Self {
        Self { faults: Some(faults), ..Self::default() }
    }

    /// The fault layer speaks HTTP; a bucket speaks of troubles.
    #[cfg(feature = "conformance")]
    fn through(&self, apply: &mut dyn FnMut() -> bool) -> Option<Result<bool, FileTrouble>> {
        use super::{Does, Got, faults::Dialect};
        let got = Got { method: "PUT".into(), target: "/".into(), headers: BTreeMap::new(), body: Vec::new() };
        let mut held = None;
        let does = self.faults.as_ref()?.on_change(&Dialect::default(), &got, |_| {
            held = Some(apply());
            Does::status(200)
        });
        Some(match (does, held) {
            (Does::Answers(200, ..), Some(held)) => Ok(held),
            (Does::Answers(429, headers, _), _) => {
                let after = headers.iter().find(|(name, _)| *name == "retry-after");
                let after = after.map(|(_, seconds)| core::time::Duration::from_secs(seconds.parse().unwrap()));
                Err(FileTrouble::Throttled { after })
            }
            (Does::Answers(401 | 403 | 404, ..), _) => Err(FileTrouble::Denied { reason: "AccessDenied".into() }),
            _ => Err(lost()),
        })
    }

    #[cfg(feature = "conformance")]
    fn refused(&self) -> bool {
        use super::{Got, faults::Dialect};
        let got = Got { method: "GET".into(), target: "/".into(), headers: BTreeMap::new(), body: Vec::new() };
        self.faults.as_ref().is_some_and(|faults| faults.on_read(&Dialect::default(), &got).is_some())
    }

    #[cfg(not(feature = "conformance"))]
    fn through(&self, _: &mut dyn FnMut() -> bool) -> Option<Result<bool, FileTrouble>> {
        None
    }

    #[cfg(not(feature = "conformance"))]
    fn refused(&self) -> bool {
        false
    }

    /// What the next writes meet, one each.
    pub fn breaks(&self, broken: impl IntoIterator<Item = Option<Broken>>) {
        self.state.lock().unwrap().broken = broken.into_iter().collect();
    }

    fn put(&self, key: &str, bytes: Bytes, only: OnlyIf<'_>) -> bool {
        let mut state = self.state.lock().unwrap();
        let there = state.files.get(key).map(|(_, etag)| etag.to_string());
        let holds = match only {
            OnlyIf::Absent => there.is_none(),
            OnlyIf::Matches(etag) => there.as_deref() == Some(etag),
            OnlyIf::Always => true,
        };
        if holds {
            state.writes += 1;
            let number = state.writes;
            state.files.insert(key.to_owned(), (bytes, number));
        }
        holds
    }

    /// What every write meets.
    pub fn decided_by(&self, decides: Option<Decides>) {
        self.state.lock().unwrap().decides = decides;
    }

    /// Every file by its key, with the number of the write that made it.
    pub fn files(&self) -> BTreeMap<String, (Bytes, u64)> {
        self.state.lock().unwrap().files.clone()
    }

    pub fn remove(&self, key: &str) {
        self.state.lock().unwrap().files.remove(key);
    }

    fn bytes(&self, key: &str) -> Option<Bytes> {
        self.state.lock().unwrap().files.get(key).map(|(bytes, _)| bytes.clone())
    }

    fn json(&self, key: &str) -> Option<Value> {
        Some(serde_json::from_slice(&self.bytes(key)?).expect("a document is JSON"))
    }

    /// The members by e-mail address, each with the first name, as a reader of JSON lines has them: the newest whole list,
    /// then the changes after it, by time. Every file is checked by its digest.
    pub fn read_as_a_consumer(&self, root: &str) -> BTreeMap<String, String> {
        let mut members: BTreeMap<String, String> = BTreeMap::new();
        let mut since = None;
        let base = match self.json(&format!("{root}current.json")) {
            Some(current) => Some(current["manifest"].as_str().unwrap().to_owned()),
            None => self.bytes(&format!("{root}manifest.json")).map(|_| "manifest.json".to_owned()),
        };
        if let Some(manifest) = base {
            let manifest = self.json(&format!("{root}{manifest}")).expect("what is named is there");
            since = manifest["written_at"].as_i64();
            self.take_up(root, &manifest, &mut members);
        }
        let mut changes: Vec<Value> = self
            .files()
            .keys()
            .filter(|key| {
                key.starts_with(&format!("{root}deltas/"))
                    && std::path::Path::new(key).extension().is_some_and(|e| e == "json")
            })
            .map(|key| self.json(key).unwrap())
            .filter(|manifest| manifest["written_at"].as_i64() > since)
            .collect();
        changes.sort_by_key(|manifest| manifest["written_at"].as_i64());
        for manifest in changes {
            self.take_up(root, &manifest, &mut members);
        }
        members
    }

    fn take_up(&self, root: &str, manifest: &Value, members: &mut BTreeMap<String, String>) {
        let mut records = 0;
        for file in manifest["files"].as_array().unwrap() {
            let bytes =
                self.bytes(&format!("{root}{}", file["name"].as_str().unwrap())).expect("a named file is there");
            assert_eq!(hex::encode(Sha256::digest(&bytes)), file["sha256"].as_str().unwrap());
            assert_eq!(bytes.len() as u64, file["bytes"].as_u64().unwrap());
            let lines: Vec<Value> = bytes
                .split(|b| *b == b'\n')
                .filter(|l| !l.is_empty())
                .map(|l| serde_json::from_slice(l).unwrap())
                .collect();
            assert_eq!(lines.len() as u64, file["records"].as_u64().unwrap());
            records += lines.len() as u64;
            for line in lines {
                let emails: BTreeSet<String> = line["identifiers"]["email"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|e| e.as_str().unwrap().to_owned())
                    .collect();
                if line["operation"] == "remove" {
                    members.retain(|email, _| !emails.contains(email));
                } else {
                    let name = line["fields"]["first_name"].as_str().unwrap_or_default().to_owned();
                    members.extend(emails.into_iter().map(|email| (email, name.clone())));
                }
            }
        }
        assert_eq!(manifest["records"].as_u64().unwrap(), records);
    }
}

impl Buckets for MemoryBucket {
    fn bucket(&self, _: &str) -> Arc<dyn Files> {
        Arc::new(self.clone())
    }
}

fn lost() -> FileTrouble {
    FileTrouble::NoAnswer { reason: "lost".into() }
}

#[async_trait]
impl Files for MemoryBucket {
    async fn read(&self, key: &str) -> Result<Option<StoredFile>, FileTrouble> {
        if self.refused() {
            return Err(FileTrouble::Denied { reason: "AccessDenied".into() });
        }
        let state = self.state.lock().unwrap();
        Ok(state.files.get(key).map(|(bytes, etag)| StoredFile { bytes: bytes.clone(), etag: etag.to_string() }))
    }

    async fn write(&self, key: &str, bytes: Bytes, _: &'static str, only: OnlyIf<'_>) -> Result<bool, FileTrouble> {
        let mut state = self.state.lock().unwrap();
        let decided = state.decides.as_mut().and_then(|decides| decides(key));
        let broken = state.broken.pop_front().flatten().or(decided);
        match &broken {
            Some(Broken::Refused(trouble)) => return Err(trouble.clone()),
            Some(Broken::LosesRequest) => return Err(lost()),
            _ => {}
        }
        drop(state);
        let holds = match self.through(&mut || self.put(key, bytes.clone(), only)) {
            Some(result) => result?,
            None => self.put(key, bytes, only),
        };
        if broken == Some(Broken::LosesAnswer) { Err(lost()) } else { Ok(holds) }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, FileTrouble> {
        if self.refused() {
            return Err(FileTrouble::Denied { reason: "AccessDenied".into() });
        }
        Ok(self.state.lock().unwrap().files.keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }

    async fn delete(&self, key: &str) -> Result<(), FileTrouble> {
        self.remove(key);
        Ok(())
    }
}
