//! Twenty snapshots of a list, planned by the product's own core, delivered through the product's own stack to a stub in bad
//! weather: what the other side holds is compared with what we believe after every call, every run and at the end.
//!
//! After every call: only rows of the call change anything, and what is said of a row is so. After every run: what A has as
//! acknowledged is in the list with that value (DL-2), and nobody is in the list of whom A does not know (without which
//! DL-4 cannot hold). In the end, in good weather: the list is the selection (DL-1). People change their e-mail addresses,
//! exchange them, take over those of others, and two records may carry one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use driftless_changeset::{
    BatchLimit, CallReport, Mode, NetInput, PlannedRow, States, Transfer, net_changes, pack, settle,
};
use driftless_connector::{
    Capabilities, OutRow,
    conformance::{Call, Fault, Person, Refuses, Remote as _, Settled, Subject},
};
use driftless_model::{AckRow, AttrHash, Clock as _, KeyHash, Operation, Outcome, RecordState};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use driftless_stubs::Random;

use super::faults::Faults;

/// Snapshots of one simulation.
const SNAPSHOTS: u32 = 20;
/// People of the first snapshot.
const PEOPLE: u32 = 14;
/// Of 100 data requests, so many meet a fault.
const STORM_PERCENT: u64 = 25;
/// Rejections after which a state is left alone.
const ATTEMPTS: u32 = 3;
/// Runs that good weather needs at most: one that sends, what was rejected twice more, one that finds nothing.
const CALM_RUNS: u32 = 8;
/// E-mail addresses that a simulation can use up, and so the bad ones among them.
const EMAILS: u32 = 1_000;

/// The seeds to try: `DRIFTLESS_SEED` if it is set, else a few.
pub fn seeds() -> Vec<u64> {
    match std::env::var("DRIFTLESS_SEED") {
        Ok(seed) => vec![seed.parse().expect("DRIFTLESS_SEED is a number")],
        Err(_) => vec![1, 2, 3],
    }
}

/// Simulates twenty snapshots on an empty list. A failure names the seed.
pub async fn simulate(subject: Subject<'_>, faults: &Faults, seed: u64) {
    let mut world = World::new(subject, faults, seed);
    let bad = (0..EMAILS).filter(|number| is_bad(*number));
    let bad: BTreeSet<String> = bad.flat_map(|number| world.names_of_email(number)).collect();
    if subject.manners.refuses != Refuses::Silently {
        subject.remote.inject(Some(Fault::Refuse(bad))).await;
    }
    let weather: Vec<Fault> = subject.manners.passing().into_iter().chain(subject.manners.stopping()).collect();
    faults.storm(seed, STORM_PERCENT, weather);
    for snapshot in 0..SNAPSHOTS {
        world.snapshot = snapshot;
        world.change();
        for _ in 0..=world.random.below(2) {
            world.run(Duration::from_millis(500)).await;
        }
    }
    world.check(faults.met() > 10, "the weather was bad");
    faults.calm();
    let mut runs = 0;
    while world.run(Duration::from_secs(30)).await {
        runs += 1;
        world.check(runs < CALM_RUNS, "in good weather the lists become equal");
    }
    world.equal().await;
}

/// Every tenth address is one that the destination refuses.
const fn is_bad(email: u32) -> bool {
    email % 10 == 7
}

/// The people, what we believe of the list, and what has been drawn so far.
struct World<'a> {
    subject: Subject<'a>,
    random: Random,
    /// By key: the person, and the number of the address.
    people: BTreeMap<u32, (Person, u32)>,
    next_key: u32,
    next_email: u32,
    a: BTreeMap<KeyHash, AckRow>,
    rejections: BTreeMap<(KeyHash, AttrHash), u32>,
    /// The first name behind each fingerprint.
    values: BTreeMap<AttrHash, String>,
    seed: u64,
    snapshot: u32,
    runs: u32,
}

/// What the list should hold of one record.
struct Wanted {
    state: RecordState,
    row: OutRow,
    bad: bool,
}

impl<'a> World<'a> {
    fn new(subject: Subject<'a>, _: &Faults, seed: u64) -> Self {
        let mut world = Self {
            subject,
            random: Random::new(seed),
            people: BTreeMap::new(),
            next_key: 0,
            next_email: 0,
            a: BTreeMap::new(),
            rejections: BTreeMap::new(),
            values: BTreeMap::new(),
            seed,
            snapshot: 0,
            runs: 0,
        };
        (0..PEOPLE).for_each(|_| world.join());
        world
    }

    fn check(&self, holds: bool, what: &str) {
        assert!(
            holds,
            "seed {}, snapshot {}, run {}: {what} (replay: DRIFTLESS_SEED={} cargo test -p driftless-connector \
             --features conformance)",
            self.seed, self.snapshot, self.runs, self.seed
        );
    }

    fn names_of_email(&self, email: u32) -> BTreeSet<String> {
        let person = Person { email: Person::email(email), ..Person::numbered(0) };
        (self.subject.names)(&(self.subject.row)(&person).identifiers)
    }

    fn fresh_email(&mut self) -> u32 {
        self.next_email += 1;
        self.next_email
    }

    fn join(&mut self) {
        let email = self.fresh_email();
        let person = Person { email: Person::email(email), ..Person::numbered(self.next_key) };
        self.people.insert(self.next_key, (person, email));
        self.next_key += 1;
    }

    fn somebody(&mut self) -> Option<u32> {
        let keys: Vec<u32> = self.people.keys().copied().collect();
        self.random.pick(&keys).copied()
    }

    fn gives(&mut self, key: u32, email: u32) {
        if let Some((person, number)) = self.people.get_mut(&key) {
            (person.email, *number) = (Person::email(email), email);
        }
    }

    /// The next snapshot: a few people join, leave, change, exchange addresses or take over that of another.
    fn change(&mut self) {
        for _ in 0..=self.random.below(6) {
            let (Some(one), Some(other)) = (self.somebody(), self.somebody()) else { return self.join() };
            let email_of = |world: &Self, key: u32| world.people.get(&key).map_or(0, |(_, email)| *email);
            match self.random.below(8) {
                0 | 1 => self.join(),
                2 => drop(self.people.remove(&one)),
                3 => {
                    let name = format!("R{}", self.random.below(1_000));
                    if let Some((person, _)) = self.people.get_mut(&one) {
                        person.first_name = name;
                    }
                }
                4 => {
                    let email = self.fresh_email();
                    self.gives(one, email);
                }
                5 => {
                    let (a, b) = (email_of(self, one), email_of(self, other));
                    self.gives(one, b);
                    self.gives(other, a);
                }
                // Two records with one address: the first in key-hash order keeps it, the other is invalid.
                6 => self.gives(one, email_of(self, other)),
                // Handed over: who had the address leaves.
                _ if one != other => {
                    self.gives(one, email_of(self, other));
                    self.people.remove(&other);
                }
                _ => self.join(),
            }
        }
    }

    /// D: the valid records by key hash. An identifier belongs to the first that carries it; a later one is refused whole.
    fn wanted(&mut self) -> BTreeMap<KeyHash, Wanted> {
        let mut all = BTreeMap::new();
        for (person, email) in self.people.values() {
            let row = (self.subject.row)(person);
            #[allow(clippy::cast_possible_truncation)] // the lower half
            let attr_hash = AttrHash(number(&Value::Object(row.fields.clone()).to_string()) as u64);
            self.values.insert(attr_hash, person.first_name.clone());
            let state = RecordState { key: row.key.clone(), attr_hash, identifiers: row.identifiers.clone() };
            let bad = is_bad(*email);
            all.insert(KeyHash(number(&person.key)), Wanted { state, row, bad });
        }
        let mut taken = driftless_model::IdentifierSet::new();
        all.retain(|_, wanted| {
            let free = wanted.state.identifiers.is_disjoint(&taken);
            if free {
                taken.extend(wanted.state.identifiers.iter().cloned());
            }
            free
        });
        all
    }

    /// Plans and delivers one run, and moves A. False: there was nothing to send.
    async fn run(&mut self, timeout: Duration) -> bool {
        self.runs += 1;
        let wanted = self.wanted();
        let mut d: States = self.a.iter().map(|(k, row)| (*k, (row.key.clone(), None))).collect();
        d.extend(wanted.iter().map(|(k, w)| (*k, (w.state.key.clone(), Some(w.state.clone())))));
        let quarantined =
            self.rejections.iter().filter(|(_, times)| **times >= ATTEMPTS).map(|(state, _)| *state).collect();
        let net = net_changes(&NetInput {
            d: &d,
            a: &self.a,
            resend: &BTreeMap::new(),
            held: &BTreeSet::new(),
            beyond_horizon: &BTreeSet::new(),
            quarantined: &quarantined,
            mode: Mode::Mirror,
        });
        if net.is_empty() {
            return false;
        }
        let calls = lay_out(&net, &wanted, self.subject.connector.capabilities());
        let mut settled: Vec<Settled> = Vec::new();
        let mut open = None;
        for (number, call) in calls.iter().enumerate() {
            // A later phase waits until everything before it has settled; a run with an unsettled call is closed.
            let waits = open.is_some_and(|phase| call.phase > phase);
            let known = if waits { Settled::unclaimed() } else { self.call(number, call, timeout).await };
            if known.stop.is_some() && open.is_none() {
                open = Some(call.phase);
            }
            settled.push(known);
        }
        self.commit(&calls, &settled, &net.transfers);
        self.agrees(&wanted).await;
        true
    }

    /// Delivers one call, and holds what is said of its rows against the list.
    async fn call(&mut self, number: usize, call: &Laid, timeout: Duration) -> Settled {
        let subject = self.subject;
        let before = subject.remote.members().await;
        let rows: Vec<(u32, OutRow)> = (0u32..).zip(call.out.iter().cloned()).collect();
        let key = format!("seed{}-run{}-{number}", self.seed, self.runs);
        let work = Call { operation: call.operation, rows: &rows, key: &key, session: None, timeout, claims: 3 };
        let mut fate = self.random.fork();
        let known = work.settle(subject.connector, subject.pacer, subject.clock, &mut || fate.percent(8)).await;
        let after = subject.remote.members().await;
        let all: BTreeSet<String> = rows.iter().flat_map(|(_, row)| (subject.names)(&row.identifiers)).collect();
        let came: BTreeSet<_> = after.difference(&before).cloned().collect();
        let went: BTreeSet<_> = before.difference(&after).cloned().collect();
        let removes = call.operation == Operation::Remove;
        self.check(!removes || came.is_empty(), "a removal adds nobody");
        self.check(removes || went.is_empty(), "an add or update removes nobody");
        self.check(
            came.is_subset(&all) && went.is_subset(&all),
            "a call changes what it names and nothing else (DL-4)",
        );
        for (number, row) in &rows {
            let names = (subject.names)(&row.identifiers);
            let there = names.is_subset(&after);
            let silent = subject.manners.refuses == Refuses::Silently;
            match known.outcomes.get(number).map(|row| &row.outcome) {
                Some(Outcome::Delivered) if removes => {
                    self.check(
                        names.is_disjoint(&after),
                        &format!("who is said to be removed is gone (DL-2): {names:?}"),
                    );
                }
                Some(Outcome::Delivered) => self.check(there || silent, "who is said to be added is there (DL-2)"),
                Some(Outcome::Rejected { .. } | Outcome::Retry) if !known.maybe => {
                    let untouched = names.is_disjoint(&came) && names.is_disjoint(&went);
                    self.check(untouched, "what is said not to be applied is not applied");
                }
                _ => {}
            }
        }
        known
    }

    fn commit(&mut self, calls: &[Laid], settled: &[Settled], transfers: &[Transfer]) {
        let at = self.subject.clock.now();
        let reports: Vec<CallReport<'_>> = calls
            .iter()
            .zip(settled)
            .map(|(call, known)| {
                // A call that did not settle keeps last words only.
                let kept = known.outcomes.iter().filter(|(_, row)| known.stop.is_none() || row.outcome.is_final());
                let outcomes = kept.map(|(number, row)| (*number, row.clone())).collect();
                CallReport {
                    rows: &call.rows,
                    outcomes,
                    maybe: known.stop.is_some() && (known.maybe || !known.in_flight.is_empty()),
                    replaced: false,
                    at,
                }
            })
            .collect();
        let settlement = settle(&self.a, &reports, transfers);
        for rejected in &settlement.rejected {
            *self.rejections.entry((rejected.key_hash, rejected.attr_hash)).or_default() += 1;
        }
        for (k, row) in settlement.changed {
            match row {
                Some(row) => self.a.insert(k, row),
                None => self.a.remove(&k),
            };
        }
    }

    /// What A has as acknowledged is in the list with that value, and nobody is there of whom A does not know. The value is not
    /// looked at where D gives the identifier to another record: that one may have brought its own already, in a request that
    /// was refused as a whole afterwards.
    async fn agrees(&self, wanted: &BTreeMap<KeyHash, Wanted>) {
        let names = self.subject.names;
        let members = self.subject.remote.members().await;
        let known: BTreeSet<String> = self.a.values().flat_map(|row| names(&row.identifiers)).collect();
        let strays: Vec<_> = members.difference(&known).collect();
        self.check(strays.is_empty(), &format!("nobody is in the list of whom A does not know (DL-4): {strays:?}"));
        if self.subject.manners.refuses == Refuses::Silently {
            return;
        }
        let first_names = self.subject.remote.first_names().await;
        for (k, acknowledged) in self.a.iter().filter_map(|(k, row)| Some((k, row.acknowledged.as_ref()?))) {
            let others = wanted.iter().filter(|(other, _)| *other != k);
            let passes_on =
                others.flat_map(|(_, w)| &w.state.identifiers).any(|i| acknowledged.identifiers.contains(i));
            for name in names(&acknowledged.identifiers) {
                self.check(members.contains(&name), "what A has as acknowledged is in the list (DL-2)");
                if let Some(first_names) = first_names.as_ref().filter(|_| !passes_on) {
                    let (there, wanted) = (first_names.get(&name), self.values.get(&acknowledged.attr_hash));
                    let what = "what A has as acknowledged has the value that was acknowledged (DL-2)";
                    self.check(there == wanted, &format!("{what}: {name} has {there:?}, not {wanted:?}"));
                }
            }
        }
    }

    /// The list is the selection, less what the destination refuses (DL-1).
    async fn equal(&mut self) {
        let wanted = self.wanted();
        let refuses = self.subject.manners.refuses != Refuses::Silently;
        let good = wanted.values().filter(|w| !(w.bad && refuses));
        let names: BTreeMap<String, String> = good
            .flat_map(|w| (self.subject.names)(&w.state.identifiers).into_iter().map(move |name| (name, w)))
            .map(|(name, w)| (name, self.values[&w.state.attr_hash].clone()))
            .collect();
        let members = self.subject.remote.members().await;
        let wanted: BTreeSet<String> = names.keys().cloned().collect();
        let (missing, strays) = (wanted.difference(&members), members.difference(&wanted));
        let odd: (Vec<_>, Vec<_>) = (missing.collect(), strays.collect());
        self.check(wanted == members, &format!("the list is the selection (DL-1): missing and strays {odd:?}"));
        if let Some(first_names) = self.subject.remote.first_names().await {
            let same = names.iter().all(|(name, value)| first_names.get(name) == Some(value));
            self.check(same, "the values are those of the newest snapshot (DL-1)");
        }
    }
}

/// A call as it is laid out: its rows in the changeset and as they are sent.
struct Laid {
    operation: Operation,
    phase: u8,
    rows: Vec<PlannedRow>,
    out: Vec<OutRow>,
}

/// Removals, updates, adds; sends that wait for a removal of the same record come in a later phase.
fn lay_out(
    net: &driftless_changeset::Net,
    wanted: &BTreeMap<KeyHash, Wanted>,
    capabilities: &Capabilities,
) -> Vec<Laid> {
    let mut rows: Vec<(u8, PlannedRow, OutRow)> = Vec::new();
    for removal in &net.removals {
        let out = OutRow {
            key: removal.key.clone(),
            identifiers: removal.identifiers.clone(),
            remote_id: removal.remote_id.clone(),
            fields: Map::new(),
        };
        rows.push((0, planned(Operation::Remove, removal.key_hash, None, &out), out));
    }
    for send in &net.sends {
        let operation = match send.operation {
            Operation::Update if capabilities.update.is_none() => Operation::Add,
            Operation::Add if capabilities.add.is_none() => Operation::Update,
            other => other,
        };
        let out = OutRow { remote_id: send.remote_id.clone(), ..wanted[&send.key_hash].row.clone() };
        let row = planned(operation, send.key_hash, Some(send.state.attr_hash), &out);
        rows.push((u8::from(send.after_removal), row, out));
    }
    let order = |operation| match operation {
        Operation::Remove => 0,
        Operation::Update => 1,
        _ => 2,
    };
    rows.sort_by_key(|(phase, row, _)| (*phase, order(row.operation)));
    let mut calls = Vec::new();
    while let Some((phase, first, _)) = rows.first() {
        let (phase, operation) = (*phase, first.operation);
        let same = rows.iter().take_while(|(p, row, _)| *p == phase && row.operation == operation).count();
        let records = capabilities.limits(operation).map_or(1, |limits| limits.records.get());
        // A call may need several requests.
        let limit = BatchLimit { records: records.min(4).saturating_mul(2), bytes: None };
        for range in pack(&vec![1; same], limit) {
            let (rows, out) = rows.drain(..range.rows as usize).map(|(_, row, out)| (row, out)).unzip();
            calls.push(Laid { operation, phase, rows, out });
        }
    }
    calls
}

fn planned(operation: Operation, key_hash: KeyHash, attr_hash: Option<AttrHash>, out: &OutRow) -> PlannedRow {
    PlannedRow {
        operation,
        key_hash,
        key: out.key.clone(),
        attr_hash,
        identifiers: out.identifiers.clone(),
        remote_id: out.remote_id.clone(),
        fields: attr_hash.map(|_| Value::Object(out.fields.clone()).to_string()),
    }
}

/// A number that stands for a text.
fn number(text: &str) -> u128 {
    let hash: [u8; 32] = Sha256::digest(text).into();
    hash.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}
