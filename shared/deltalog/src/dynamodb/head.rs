//! The head as an item, and its writes. The conditions are those of [`crate::head::transition`], stated as expressions; on
//! a refusal the transition is asked whether the item shows this caller's own earlier write.
//!
//! `versions` and `holds` are maps and `delivered` and `retired` are lists, so that every write touches only its own
//! entries and writers that need not exclude each other do not.

use aws_sdk_dynamodb::types::AttributeValue;
use driftless_model::{Millis, RunId, SnapshotRef, SyncId, Token};

use super::DynamoDeltalog;
use super::attribute::{Attributes, Reader, json, malformed, n, s};
use super::failure::Operation;
use super::key;
use super::table::{Change, Write};
use super::usage::{decode_account, encode_account};
use crate::Result;
use crate::head::{Append, Attention, ConfigStamp, DeliveredRun, Head, HeadGuard, Hold, Swap, transition};

pub(super) const UPDATE: Operation = Operation {
    name: "UpdateItem",
    item: "the head of the sync (its unfolded versions, or the list of its snapshot's part files)",
    remedy: "plan runs more often, or write fewer and larger part files",
};
const PUT: Operation = Operation { name: "PutItem", ..UPDATE };

/// An ingest's condition: the head is as it was read.
const AS_READ: &str = "#incarnation = :incarnation AND #version = :version AND #config_epoch = :epoch AND ";

fn optional<const N: usize>(attributes: [(&str, Option<AttributeValue>); N]) -> Attributes {
    attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

pub(super) fn encode(head: &Head) -> Result<Attributes> {
    let texts = |list: Vec<Result<AttributeValue>>| list.into_iter().collect::<Result<_>>().map(AttributeValue::L);
    let versions = head.versions.iter().map(|(v, e)| Ok((v.to_string(), json(e)?))).collect::<Result<_>>()?;
    let holds = head.holds.iter().map(|(v, h)| (v.to_string(), hold_value(h))).collect();
    let mut item = key::head(&head.sync).item([
        ("incarnation", n(head.incarnation)),
        ("names", json(&head.names)?),
        ("version", n(head.version)),
        ("config_epoch", n(head.config.epoch)),
        ("config_fingerprint", s(&head.config.fingerprint)),
        ("stamp", s(head.stamp.as_str())),
        ("versions", AttributeValue::M(versions)),
        ("holds", AttributeValue::M(holds)),
        ("delivered", texts(head.delivered.iter().map(json).collect())?),
        ("retired", texts(head.retired.iter().map(json).collect())?),
    ]);
    item.extend(optional([
        ("order", head.snapshot.as_ref().map(|s| json(&s.order)).transpose()?),
        ("parts", head.snapshot.as_ref().map(|s| json(&s.parts)).transpose()?),
        ("history", head.history.as_ref().map(json).transpose()?),
        ("residue", head.residue.as_ref().map(json).transpose()?),
        ("active_run", head.active_run.as_ref().map(|r| s(r.as_str()))),
        ("last_succeeded_at", head.last_succeeded_at.map(|at| n(at.0))),
        ("attention", head.attention.as_ref().map(json).transpose()?),
        ("lists", (!head.lists.is_untouched()).then(|| json(&head.lists)).transpose()?),
    ]));
    item.extend(encode_account(&head.account));
    Ok(item)
}

pub(super) fn decode(sync: &SyncId, item: &Attributes) -> Result<Head> {
    let r = Reader::new(item, "the head");
    let order = r.opt_json("order")?;
    let snapshot = order.map(|order| r.json("parts").map(|parts| SnapshotRef { order, parts })).transpose()?;
    let versions = r.numbered("versions")?.into_iter();
    let holds = r.numbered("holds")?.into_iter();
    Ok(Head {
        sync: sync.clone(),
        incarnation: r.number("incarnation")?,
        names: r.json("names")?,
        version: r.number("version")?,
        snapshot,
        config: ConfigStamp { epoch: r.number("config_epoch")?, fingerprint: r.text("config_fingerprint")?.to_owned() },
        stamp: Token::new(r.text("stamp")?),
        history: r.opt_json("history")?,
        residue: r.opt_json("residue")?,
        versions: versions.map(|(v, e)| Ok((v, r.parse_json("versions", e)?))).collect::<Result<_>>()?,
        active_run: r.opt_text("active_run")?.map(RunId::new),
        delivered: r.json_list("delivered")?,
        holds: holds.map(|(v, h)| Ok((v, hold(h)?))).collect::<Result<_>>()?,
        retired: r.json_list("retired")?,
        last_succeeded_at: r.opt_number("last_succeeded_at")?.map(Millis),
        attention: r.opt_json("attention")?,
        lists: r.opt_json("lists")?.unwrap_or_default(),
        account: decode_account(item),
    })
}

/// Native attributes, because approval is conditioned on the count and dropping on the object.
fn hold_value(hold: &Hold) -> AttributeValue {
    let mut map = Attributes::from([
        ("object".to_owned(), s(&hold.object)),
        ("count".to_owned(), n(hold.count)),
        ("reason".to_owned(), s(&hold.reason)),
        ("since".to_owned(), n(hold.since.0)),
    ]);
    map.extend(optional([("approved_at", hold.approved_at.map(|at| n(at.0)))]));
    AttributeValue::M(map)
}

fn hold(value: &AttributeValue) -> Result<Hold> {
    let map = value.as_m().map_err(|_| malformed("the head", "a hold is not a map"))?;
    let r = Reader::new(map, "a hold of the head");
    Ok(Hold {
        object: r.text("object")?.to_owned(),
        count: r.number("count")?,
        reason: r.text("reason")?.to_owned(),
        since: Millis(r.number("since")?),
        approved_at: r.opt_number("approved_at")?.map(Millis),
    })
}

fn list_of(value: AttributeValue) -> AttributeValue {
    AttributeValue::L(vec![value])
}

impl DynamoDeltalog {
    pub(super) async fn read_head(&self, sync: &SyncId) -> Result<Option<Head>> {
        let item = self.table.get(&key::head(sync)).await?;
        item.map(|item| decode(sync, &item)).transpose()
    }

    /// One conditional update of the head. `to` is the transition that the expressions state.
    async fn swap_head(
        &self,
        sync: &SyncId,
        change: Change,
        to: impl FnOnce(&Head) -> Option<Head> + Send,
    ) -> Result<Swap> {
        match self.update_head(sync, change, false).await? {
            Write::Done(_) => Ok(Swap::Done),
            Write::Refused(None) => Ok(Swap::Lost),
            Write::Refused(Some(item)) => {
                let stored = decode(sync, &item)?;
                Ok(if to(&stored).as_ref() == Some(&stored) { Swap::Done } else { Swap::Lost })
            }
        }
    }

    pub(super) async fn write_new_head(&self, new: &Head) -> Result<Swap> {
        let values = Attributes::from([(":incarnation".to_owned(), n(new.incarnation))]);
        let condition = "attribute_not_exists(#pk) OR #incarnation < :incarnation";
        match self.table.put(PUT, encode(new)?, condition, values).await? {
            Write::Done(_) => Ok(Swap::Done),
            Write::Refused(item) => {
                let stored = item.map(|item| decode(&new.sync, &item)).transpose()?;
                Ok(if transition::try_create(stored.as_ref(), new) == stored { Swap::Done } else { Swap::Lost })
            }
        }
    }

    pub(super) async fn append(&self, sync: &SyncId, guard: &HeadGuard, append: &Append) -> Result<Swap> {
        let next = guard.version + 1;
        let mut change = taken_up(guard, &append.snapshot, &append.config)?
            .and(&format!(", #version = :next, #versions.#{next} = :entry"))
            .value(":next", n(next))
            .value(":entry", json(&append.entry)?);
        if let Some(hold) = &append.hold {
            let number = Head::snapshot_hold(next);
            change = change.and(&format!(", #holds.#{number} = :hold")).value(":hold", hold_value(hold));
        }
        let change = change.and(" REMOVE #attention");
        self.swap_head(sync, change, |h| transition::try_append(h, guard, append)).await
    }

    pub(super) async fn stamp(
        &self,
        sync: &SyncId,
        guard: &HeadGuard,
        snapshot: &SnapshotRef,
        config: &ConfigStamp,
    ) -> Result<Swap> {
        let change = taken_up(guard, snapshot, config)?.and(" REMOVE #attention");
        self.swap_head(sync, change, |h| transition::try_stamp(h, guard, snapshot, config)).await
    }

    pub(super) async fn deactivate_run(&self, sync: &SyncId, run: &RunId) -> Result<Swap> {
        let change = Change::new("REMOVE #active_run", "#active_run = :run", [(":run", s(run.as_str()))]);
        self.swap_head(sync, change, |h| transition::try_deactivate(h, run)).await
    }

    pub(super) async fn commit_run(
        &self,
        sync: &SyncId,
        stamp: &Token,
        delivered: &DeliveredRun,
        succeeded_at: Option<Millis>,
    ) -> Result<Swap> {
        let mut change = Change::new(
            "SET #delivered = list_append(#delivered, :delivered)",
            "#active_run = :run AND #stamp = :stamp",
            [
                (":run", s(delivered.run.as_str())),
                (":stamp", s(stamp.as_str())),
                (":delivered", list_of(json(delivered)?)),
            ],
        );
        if let Some(at) = succeeded_at {
            change = change.and(", #last_succeeded_at = :succeeded").value(":succeeded", n(at.0));
        }
        let change = change.and(" REMOVE #active_run");
        self.swap_head(sync, change, |h| transition::try_commit(h, stamp, delivered, succeeded_at)).await
    }

    pub(super) async fn put_hold(&self, sync: &SyncId, guard: &HeadGuard, number: u64, hold: &Hold) -> Result<Swap> {
        let change = Change::new(
            // A hold that is there keeps its approval.
            format!("SET #holds.#{number} = if_not_exists(#holds.#{number}, :hold)"),
            format!(
                "#incarnation = :incarnation AND (#holds.#{number}.#object = :object \
                 OR (#version = :version AND attribute_not_exists(#holds.#{number})))"
            ),
            [
                (":hold", hold_value(hold)),
                (":object", s(&hold.object)),
                (":incarnation", n(guard.incarnation)),
                (":version", n(guard.version)),
            ],
        );
        self.swap_head(sync, change, |h| transition::try_place_hold(h, guard, number, hold)).await
    }

    pub(super) async fn approve_hold(&self, sync: &SyncId, number: u64, ceiling: u64, at: Millis) -> Result<Swap> {
        let approved = format!("#holds.#{number}.#approved_at");
        let change = Change::new(
            format!("SET {approved} = if_not_exists({approved}, :at)"),
            format!("#holds.#{number}.#count <= :ceiling"),
            [(":at", n(at.0)), (":ceiling", n(ceiling))],
        );
        self.swap_head(sync, change, |h| transition::try_approve(h, number, ceiling, at)).await
    }

    pub(super) async fn remove_hold(&self, sync: &SyncId, number: u64, object: &str) -> Result<Swap> {
        let change = Change::new(
            format!("REMOVE #holds.#{number}"),
            format!("#holds.#{number}.#object = :object"),
            [(":object", s(object))],
        );
        self.swap_head(sync, change, |h| transition::try_drop_hold(h, number, object)).await
    }

    pub(super) async fn put_attention(
        &self,
        sync: &SyncId,
        incarnation: u64,
        attention: Option<&Attention>,
    ) -> Result<Swap> {
        let is_ours = "#incarnation = :incarnation";
        let incarnation_value = (":incarnation", n(incarnation));
        let change = match attention {
            Some(a) => {
                Change::new("SET #attention = :attention", is_ours, [incarnation_value, (":attention", json(a)?)])
            }
            None => Change::new("REMOVE #attention", is_ours, [incarnation_value]),
        };
        self.swap_head(sync, change, |h| transition::try_set_attention(h, incarnation, attention)).await
    }
}

/// What every ingest writes, and its condition.
fn taken_up(guard: &HeadGuard, snapshot: &SnapshotRef, config: &ConfigStamp) -> Result<Change> {
    let order_is_as_read = match guard.order {
        Some(_) => "#order = :order_read",
        None => "attribute_not_exists(#order)",
    };
    let change = Change::new(
        "SET #order = :order, #parts = :parts, #config_epoch = :new_epoch, #config_fingerprint = :fingerprint",
        format!("{AS_READ}{order_is_as_read}"),
        [
            (":order", json(&snapshot.order)?),
            (":parts", json(&snapshot.parts)?),
            (":new_epoch", n(config.epoch)),
            (":fingerprint", s(&config.fingerprint)),
            (":incarnation", n(guard.incarnation)),
            (":version", n(guard.version)),
            (":epoch", n(guard.epoch)),
        ],
    );
    Ok(match &guard.order {
        Some(order) => change.value(":order_read", json(order)?),
        None => change,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::example;

    fn bytes(head: &Head) -> usize {
        super::super::units::item_size(&encode(head).unwrap())
    }

    #[test]
    fn an_unchanged_snapshot_of_a_quiet_sync_is_one_write_unit() {
        let mut head = example::new_head("quiet");
        head.snapshot = Some(example::snapshot(1_700_000_000_001));
        head.stamp = Token::new("01J0000000000000000000000");
        head.history = Some(crate::head::HistoryRef {
            object: "history/acme/customers/01J0000000000000000000000.parquet".into(),
            fingerprint: "f".repeat(32),
            rows: 1_000_000,
        });
        assert!(bytes(&head) <= 1_024, "{} bytes", bytes(&head));
        let quiet = bytes(&head);
        for version in 1..=10 {
            let entry = example::entry("01J0000000000000000000000", 1_700_000_000_001, 10_000);
            head.versions.insert(version, entry);
        }
        assert!(bytes(&head) - quiet <= 3_500, "{} bytes a version", (bytes(&head) - quiet) / 10);
    }
}
