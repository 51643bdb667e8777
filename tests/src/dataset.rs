//! A dataset of a few people, the snapshots that are taken of it, and what a sync of it should make of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use driftless_config::{Destination, Sync};
use driftless_model::{AttrHash, Identifier, IdentifierSet, InTurn, KeyHash, Millis, RecordKey};
use driftless_objects::MemoryObjects;
use driftless_snapshot::{HashKey, Limits, Source, View, ViewSpec};
use driftless_testkit::Snapshot;
use sha2::{Digest, Sha256};

use crate::at_once;

/// One person as a snapshot has them. An e-mail address or telephone number may be that of somebody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Person {
    /// The record key.
    pub id: String,
    /// An identifier.
    pub email: String,
    /// An identifier that not everybody has.
    pub phone: Option<String>,
    /// A field.
    pub plan: String,
    /// The second sync selects by it.
    pub consent: bool,
}

/// One snapshot.
pub type People = Vec<Person>;

/// Which mapping is in force. Each grows out of the one before by `driftless apply`; they repeat after three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mapping {
    /// Everything as it is.
    Plain,
    /// The plan is sent as a hash: other payloads under the same attribute hashes.
    HashedPlan,
    /// The e-mail address is sent as a hash: other identifiers under the same attribute hashes.
    HashedEmail,
}

impl Mapping {
    /// The mapping of an epoch.
    #[must_use]
    pub const fn of(epoch: u64) -> Self {
        match epoch % 3 {
            0 => Self::Plain,
            1 => Self::HashedPlan,
            _ => Self::HashedEmail,
        }
    }
}

/// What the list should hold of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its fingerprint.
    pub attr_hash: AttrHash,
    /// As sent.
    pub identifiers: IdentifierSet,
    /// The plan as sent.
    pub plan: String,
}

/// By key hash: what a list should hold.
pub(crate) type Selection = BTreeMap<KeyHash, Wanted>;

const COLUMNS: [&str; 5] = ["id", "email", "phone", "plan", "consent"];

/// The deployment's hash key in every simulation.
#[must_use]
pub(crate) fn hash_key() -> HashKey {
    HashKey::new([7; 32])
}

/// The key hash of a person.
#[must_use]
pub fn key_hash(id: &str) -> KeyHash {
    hash_key().key_hash(&RecordKey::new(id))
}

/// The Parquet file of a snapshot.
#[must_use]
pub(crate) fn parquet(people: &[Person]) -> Bytes {
    let rows = people.iter().map(|p| {
        let consent = if p.consent { "yes" } else { "no" };
        [
            p.id.as_str().into(),
            p.email.as_str().into(),
            p.phone.as_deref().into(),
            p.plan.as_str().into(),
            consent.into(),
        ]
    });
    Snapshot::of_texts(&COLUMNS).rows(rows).bytes()
}

/// Settings of a sync that differ between simulations.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "manners of a sync, each of which it has or has not")]
pub struct Settings {
    /// A run that is not settled after so many seconds is closed.
    pub deadline_s: u64,
    /// More removals than this are held.
    pub max_removals: u64,
    /// Rejections after which a state is left alone.
    pub attempt_limit: u32,
    /// The list is looked at before the first run.
    pub inspect: bool,
    /// Runs replace the whole list.
    pub replaces: Option<Replaces>,
    /// Runs compare the list first.
    pub compares: bool,
    /// Strangers whom a comparison finds are removed.
    pub strangers_go: bool,
    /// The members that the list has before the first run become ours.
    pub adopts: bool,
}

impl Settings {
    /// What most simulations start from.
    pub const USUAL: Self = Self {
        deadline_s: 86_400,
        max_removals: 2,
        attempt_limit: 2,
        inspect: false,
        replaces: None,
        compares: false,
        strangers_go: false,
        adopts: false,
    };
}

impl Default for Settings {
    fn default() -> Self {
        Self::USUAL
    }
}

/// The applied configuration of a sync.
#[must_use]
pub(crate) fn sync(list: &str, consenting: bool, mapping: Mapping, settings: Settings) -> Sync {
    let hashed = |yes: bool| if yes { "sha256" } else { "none" };
    let selection = if consenting { serde_json::json!({ "where": "consent = 'yes'" }) } else { "everything".into() };
    serde_json::from_value(serde_json::json!({
        "version": 1,
        "dataset": "acme/people",
        "key": "id",
        "selection": selection,
        "mapping": {
            "email": { "column": "email", "identifier": true, "hash": hashed(mapping == Mapping::HashedEmail) },
            "phone": { "column": "phone", "identifier": true },
            "plan": { "column": "plan", "hash": hashed(mapping == Mapping::HashedPlan) },
        },
        "destination": "crm",
        "list": list,
        "schedule": "manual",
        "guards": { "max_removals": settings.max_removals, "allow_empty": true },
        "attempt_limit": settings.attempt_limit,
        "first_sync": match (settings.adopts, settings.inspect) {
            (true, _) => "adopt",
            (false, true) => "refuse",
            (false, false) => "ignore",
        },
        "reconcile": { "strangers": if settings.strangers_go { "remove" } else { "leave" } },
        "deadline": format!("{}s", settings.deadline_s),
        "strategy": match (settings.replaces, settings.compares) {
            (Some(Replaces::ByNewList), _) => "new_list",
            (Some(_), _) => "replace",
            (None, true) => "compare",
            (None, false) => "auto",
        },
    }))
    .expect("the configuration is one that apply would take")
}

/// How the destination replaces a whole list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaces {
    /// By the parts of a session.
    InSession,
    /// It is emptied, then filled.
    ByClearing,
    /// Another list is made, and takes its place.
    ByNewList,
}

/// The destination that replaces a whole list, two records a request.
#[must_use]
pub(crate) fn replacing(how: Replaces) -> Destination {
    let document = match how {
        Replaces::InSession => serde_json::json!({
            "version": 1,
            "kind": "webhook",
            "base_url": "https://crm.example",
            "signing_secrets": [{ "secret": "crm/signing" }],
            "records": 2,
            "rate": { "requests": 100, "per": "1s" },
            "timeout": "15s",
            "replaces": true,
        }),
        Replaces::ByClearing | Replaces::ByNewList => serde_json::json!({
            "version": 1,
            "kind": "scim",
            "base_url": "https://crm.example",
            "auth": "none",
            "mode": "group",
            "group": { "members_per_patch": 2, "supports_replace": how == Replaces::ByClearing },
            "rate": { "requests": 100, "per": "1s" },
            "timeout": "10s",
        }),
    };
    serde_json::from_value(document).expect("the configuration is one that apply would take")
}

/// The destination: two records a request; refused as a whole where `all_or_nothing`.
#[must_use]
pub(crate) fn destination(all_or_nothing: bool, updates: bool) -> Destination {
    let operation = |path: &str| serde_json::json!({ "method": "POST", "path": path });
    let mut document = serde_json::json!({
        "version": 1,
        "kind": "rest",
        "base_url": "https://crm.example",
        "batch": { "records": 2 },
        "all_or_nothing": all_or_nothing,
        "rate": { "requests": 100, "per": "1s" },
        "timeout": "10s",
        "add": operation("/add"),
        "remove": operation("/remove"),
        "list": { "path": "/", "items": "/items", "identifiers": { "email": "/email" } },
    });
    if updates {
        document["update"] = operation("/update");
    }
    serde_json::from_value(document).expect("the configuration is one that apply would take")
}

fn sha256(value: &str) -> String {
    hex::encode(Sha256::digest(value))
}

fn wanted(p: &Person, mapping: Mapping) -> Wanted {
    let email = if mapping == Mapping::HashedEmail { sha256(&p.email) } else { p.email.clone() };
    let plan = if mapping == Mapping::HashedPlan { sha256(&p.plan) } else { p.plan.clone() };
    let phone = p.phone.iter().map(|v| Identifier::new("phone", v.clone()));
    let identifiers = phone.chain([Identifier::new("email", email)]).collect();
    Wanted { attr_hash: attr_hash(p, mapping), identifiers, plan }
}

/// The product's own fingerprint of one record, by itself; what may be sent together is worked out here.
fn attr_hash(p: &Person, mapping: Mapping) -> AttrHash {
    thread_local! {
        static KNOWN: RefCell<BTreeMap<(Person, Mapping), AttrHash>> = const { RefCell::new(BTreeMap::new()) };
    }
    let key = (p.clone(), mapping);
    if let Some(hash) = KNOWN.with(|k| k.borrow().get(&key).copied()) {
        return hash;
    }
    let objects = MemoryObjects::default();
    let part = objects.upload("one.parquet", parquet(core::slice::from_ref(p)), Millis(0)).object;
    let config = sync("any", false, mapping, Settings::default());
    let (spec, erased, limits) = (ViewSpec::from(&config), BTreeSet::new(), Limits::default());
    let parts = [part];
    let source = Source { objects: &objects, parts: &parts, limits: &limits };
    let view = [View { spec: &spec, erased: &erased }];
    let digested =
        at_once(driftless_snapshot::digest(source, &view, &hash_key(), &InTurn::default())).expect("a good snapshot");
    let hash = digested
        .into_iter()
        .next()
        .expect("one view")
        .expect("a good view")
        .rows
        .iter()
        .next()
        .expect("one row")
        .attr_hash;
    KNOWN.with(|k| k.borrow_mut().insert(key, hash));
    hash
}

/// What a sync of these people should hold, and whether that is beyond doubt: where an identifier is shared with somebody who
/// is erased, it depends on whether the snapshot or the erasure came first.
#[must_use]
pub(crate) fn select(
    people: &[Person],
    consenting: bool,
    mapping: Mapping,
    erased: &BTreeSet<KeyHash>,
) -> (Selection, bool) {
    let by_hash: BTreeMap<KeyHash, &Person> =
        people.iter().filter(|p| p.consent || !consenting).map(|p| (key_hash(&p.id), p)).collect();
    let mut taken = IdentifierSet::new();
    let mut selection = Selection::new();
    let mut shared_with_erased = false;
    let of_erased: IdentifierSet =
        by_hash.iter().filter(|(k, _)| erased.contains(k)).flat_map(|(_, p)| wanted(p, mapping).identifiers).collect();
    for (k, p) in &by_hash {
        let w = wanted(p, mapping);
        if erased.contains(k) {
            continue;
        }
        shared_with_erased |= !w.identifiers.is_disjoint(&of_erased);
        // The first in key-hash order keeps a shared identifier (protocol rule 6).
        if w.identifiers.is_disjoint(&taken) {
            taken.extend(w.identifiers.iter().cloned());
            selection.insert(*k, w);
        }
    }
    (selection, !shared_with_erased)
}

/// Every record of the snapshot by itself, shared identifiers or not.
#[must_use]
pub(crate) fn each(people: &[Person], consenting: bool, mapping: Mapping) -> Selection {
    people.iter().filter(|p| p.consent || !consenting).map(|p| (key_hash(&p.id), wanted(p, mapping))).collect()
}

/// A person by a few small numbers: enough variety for every rule.
#[must_use]
pub fn person(n: usize, choice: u64) -> Option<Person> {
    const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let id = IDS[n % IDS.len()];
    let next = IDS[(n + 1) % IDS.len()];
    let x = choice % 32;
    if x < 8 {
        return None;
    }
    let email = match x {
        30 => "shared@x.example".to_owned(),
        29 => format!("{next}0@x.example"),
        _ => format!("{id}{}@x.example", x % 2),
    };
    let y = (choice >> 5) % 8;
    let phone = match y {
        0..=3 => None,
        4 | 5 => Some(format!("+49{id}0")),
        6 => Some(format!("+49{id}1")),
        _ => Some("+49shared".to_owned()),
    };
    let plan = format!("p{}", (choice >> 8) % 2);
    Some(Person { id: id.to_owned(), email, phone, plan, consent: !(choice >> 9).is_multiple_of(4) })
}

/// The file of an uploaded snapshot, by its name in the bucket.
#[must_use]
pub(crate) fn object_key(name: &str) -> String {
    format!("datasets/acme/people/{name}.parquet")
}

/// So many people who consented, all on one plan.
pub fn people(n: usize, plan: usize) -> Vec<Person> {
    (0..n)
        .map(|id| Person {
            id: format!("{id}"),
            email: format!("{id}@x.example"),
            phone: None,
            plan: format!("p{plan}"),
            consent: true,
        })
        .collect()
}
