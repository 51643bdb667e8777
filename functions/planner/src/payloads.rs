//! What is sent of each record, read from the snapshot.

use std::collections::BTreeMap;

use driftless_deltalog::head::Head;
use driftless_model::{AttrHash, IdentifierSet, KeyHash, Operation, RecordKey};
use driftless_snapshot::{Record, Source, ViewSpec};
use driftless_state::Rest;

use crate::calls::Payload;
use crate::decision::Decision;
use crate::error::Error;
use crate::plan::Planner;
use crate::setting::Setting;
use crate::strategy::Way;

/// What was read.
#[derive(Default)]
pub(crate) struct Payloads {
    pub(crate) by_key: BTreeMap<KeyHash, Payload>,
    /// Of the records that were found, those that this run has no room for.
    pub(crate) later: Rest,
    /// Bytes that those would have taken that cannot be left to a later run.
    too_much: u64,
}

impl Payloads {
    /// Records that were found.
    pub(crate) fn found(&self) -> u64 {
        self.by_key.len() as u64 + self.later.waiting()
    }
}

impl Planner {
    /// Reads what the decision sends. What is beyond its share of the memory is left to the next run, if it can be; else it is counted
    /// and not kept, and the plan is refused. The states of the decision's sends are given up for it.
    pub(crate) async fn payloads(
        &self,
        head: &Head,
        setting: &Setting,
        decision: &mut Decision,
    ) -> Result<Payloads, Error> {
        let mut wanted: BTreeMap<KeyHash, AttrHash> = BTreeMap::new();
        for send in &mut decision.net.sends {
            wanted.insert(send.key_hash, send.state.attr_hash);
            (send.state.key, send.state.identifiers) = (RecordKey::new(String::new()), IdentifierSet::new());
        }
        let mut out = Payloads::default();
        let Some(snapshot) = head.snapshot.as_ref().filter(|_| !wanted.is_empty()) else { return Ok(out) };
        let source = Source { objects: self.objects.as_ref(), parts: &snapshot.parts, limits: &self.limits };
        let spec = ViewSpec::from(&setting.config);
        let (room, way, sends) = (decision.sent_bytes, decision.way, &decision.net.sends);
        let mut bytes = 0;
        let mut keep = |key_hash: KeyHash, record: Record| {
            let payload = Payload::from(record);
            let send = sends.binary_search_by_key(&key_hash, |s| s.key_hash).ok().and_then(|at| sends.get(at));
            let Some(send) = send else { return };
            if out.by_key.is_empty() || bytes + payload.bytes() <= room {
                bytes += payload.bytes();
                out.by_key.insert(key_hash, payload);
            } else if way != Way::Delta || send.after_removal {
                out.too_much += payload.bytes();
            } else if send.operation == Operation::Update {
                out.later.updates += 1;
            } else {
                out.later.adds += 1;
            }
        };
        driftless_snapshot::each_record(source, &spec, &self.hash_key, &wanted, &mut keep).await?;
        if out.too_much > 0 {
            return Err(self.room.sends_too_much(wanted.len(), bytes + out.too_much).into());
        }
        Ok(out)
    }
}
