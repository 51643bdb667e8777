//! The suite that every kind of destination and every recipe passes.
//!
//! A kind's tests bring a connector, a remote side that they control ([`Remote`]), a row maker, and what can go wrong there
//! ([`Manners`]). [`delivers`] is the plain behaviour, [`withstands`] every fault, [`lists`] the reading of the list, and
//! [`conforms`] all three. A case that fails panics with what was expected of whom.

mod call;
mod delivers;
mod lists;
mod person;
mod time;
mod withstands;

use core::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use driftless_model::{Clock, IdentifierSet, Operation, Outcome};
use serde_json::Map;

use crate::{Connector, OutRow, Pacer};

pub use call::{Call, Settled};
pub use delivers::delivers;
pub use lists::lists;
pub use person::Person;
pub use time::VirtualTime;
pub use withstands::withstands;

/// What the suite works on.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The connector of a list that is empty.
    pub connector: &'a dyn Connector,
    /// The other side.
    pub remote: &'a dyn Remote,
    /// Waits; virtual time is enough.
    pub pacer: &'a dyn Pacer,
    /// The same time.
    pub clock: &'a dyn Clock,
    /// The record of a person, as the destination accepts it.
    pub row: fn(&Person) -> OutRow,
    /// The names under which the other side keeps whoever has one of these identifiers, as [`Remote::members`] gives them.
    pub names: fn(&IdentifierSet) -> BTreeSet<String>,
    /// What can go wrong there.
    pub manners: Manners,
}

/// The list as the other side has it, and what goes wrong there.
#[async_trait]
pub trait Remote: Send + Sync {
    /// The names of the members.
    async fn members(&self) -> BTreeSet<String>;

    /// The first name that is kept of each member; `None` where no values are kept.
    async fn first_names(&self) -> Option<BTreeMap<String, String>> {
        None
    }

    /// The next data request meets this, and the one after it does not; a fault that [lasts](Fault::lasts) is met by every
    /// request until `None`.
    async fn inject(&self, fault: Option<Fault>);
}

/// What goes wrong on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The records of these names are refused, in the destination's own way. Lasts.
    Refuse(BTreeSet<String>),
    /// The same, and an answer that lists records lists them in another order than the request. Lasts.
    RefuseReordered(BTreeSet<String>),
    /// Too many requests; come back after so many seconds.
    Throttle(Option<u64>),
    /// An error that does not say whether the request was applied; it was not.
    ServerError,
    /// Not now; it was not applied.
    Unavailable,
    /// The connection is cut before the request is applied.
    LoseRequest,
    /// The request is applied and the connection is cut.
    LoseAnswer,
    /// The request is applied, and half of the answer comes.
    CutAnswer,
    /// The request is applied, and no answer comes in time.
    Slow,
    /// The request is applied, and the answer has no end.
    Endless,
    /// The request is applied and answered rightly, under a content type that is not that of the answer.
    WrongType,
    /// A page of something else answers with 200. Nothing was applied.
    Garbage,
    /// The request is applied, and the answer speaks of one record less.
    Miscounted,
    /// The login has expired.
    LoginExpired,
    /// The login is refused. Lasts.
    LoginGone,
    /// The list is not there. Lasts.
    ListGone,
}

/// What can go wrong at a kind of destination, and how it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// How a bad record is refused.
    pub refuses: Refuses,
    /// What an expired login takes.
    pub login: Login,
    /// An answer says whether the list is there.
    pub list_can_go: bool,
    /// A success has something to say, so that one that says something else is none.
    pub reads_answers: bool,
    /// A throttle says how long to wait.
    pub says_how_long: bool,
}

/// How a bad record is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuses {
    /// With the whole request, nothing of which is applied.
    Whole,
    /// By its place in an answer that has one result per record; the others are applied.
    InOrder,
    /// By its name in an answer that lists failures; the others are applied.
    ByName,
    /// Without a word: the answer speaks of the request only.
    Silently,
}

/// What an expired login takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// There is no login.
    None,
    /// A person: the credential does not change by itself.
    Fixed,
    /// A new token, which the connector fetches.
    Renewed,
}

impl Default for Manners {
    /// A request that is refused as a whole, a fixed login, a list that can go, answers that are read.
    fn default() -> Self {
        Self {
            refuses: Refuses::Whole,
            login: Login::Fixed,
            list_can_go: true,
            reads_answers: true,
            says_how_long: true,
        }
    }
}

impl Manners {
    /// The faults that a call outlives in one claim.
    #[must_use]
    pub fn passing(&self) -> Vec<Fault> {
        let mut faults = vec![
            Fault::Throttle(Some(3)),
            Fault::Throttle(None),
            Fault::ServerError,
            Fault::Unavailable,
            Fault::LoseRequest,
            Fault::LoseAnswer,
            Fault::CutAnswer,
            Fault::Endless,
            Fault::WrongType,
            Fault::Slow,
        ];
        if self.reads_answers {
            faults.push(Fault::Garbage);
        }
        if self.refuses == Refuses::InOrder {
            faults.push(Fault::Miscounted);
        }
        if self.login == Login::Renewed {
            faults.push(Fault::LoginExpired);
        }
        faults
    }

    /// The faults that stop a call until somebody acts.
    #[must_use]
    pub fn stopping(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.login == Login::Fixed {
            faults.push(Fault::LoginExpired);
        }
        if self.login != Login::None {
            faults.push(Fault::LoginGone);
        }
        if self.list_can_go {
            faults.push(Fault::ListGone);
        }
        faults
    }
}

impl Fault {
    /// It is met by every request until it is taken back.
    #[must_use]
    pub const fn lasts(&self) -> bool {
        matches!(self, Self::Refuse(_) | Self::RefuseReordered(_) | Self::LoginGone | Self::ListGone)
    }
}

/// The whole suite.
pub async fn conforms(subject: Subject<'_>) {
    delivers(subject).await;
    withstands(subject).await;
    lists(subject).await;
}

/// Identifiers as they were sent: for destinations that keep members by the text that they are given.
#[must_use]
pub fn as_sent(identifiers: &IdentifierSet) -> BTreeSet<String> {
    identifiers.iter().map(|identifier| identifier.value.clone()).collect()
}

/// Calls made so far, by all subjects.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// The most records of the cases that are about faults: more would show no more.
const FEW: u32 = 20;

impl<'a> Subject<'a> {
    /// A connector and its remote side, under virtual time.
    pub fn new(
        connector: &'a dyn Connector,
        remote: &'a dyn Remote,
        time: &'a VirtualTime,
        row: fn(&Person) -> OutRow,
    ) -> Self {
        Self { connector, remote, pacer: time, clock: time, row, names: as_sent, manners: Manners::default() }
    }

    /// The same, with these manners.
    #[must_use]
    pub const fn with(self, manners: Manners) -> Self {
        Self { manners, ..self }
    }

    /// The same, where the other side keeps members under other names than the text that it is given.
    #[must_use]
    pub const fn keeping(self, names: fn(&IdentifierSet) -> BTreeSet<String>) -> Self {
        Self { names, ..self }
    }

    /// The most records of an operation's request; 0: there is no such operation.
    fn limit(&self, operation: Operation) -> u32 {
        self.connector.capabilities().limits(operation).map_or(0, |limits| limits.records.get())
    }

    /// So many that two requests are needed where requests are small.
    fn few(&self) -> u32 {
        self.limit(Operation::Add).min(FEW) + 1
    }

    fn rows(&self, numbers: impl IntoIterator<Item = u32>) -> Vec<(u32, OutRow)> {
        numbers.into_iter().map(|number| (number, (self.row)(&Person::numbered(number)))).collect()
    }

    async fn deliver(&self, operation: Operation, rows: &[(u32, OutRow)]) -> Settled {
        self.deliver_within(operation, rows, Duration::from_secs(30), 1).await
    }

    async fn deliver_within(
        &self,
        operation: Operation,
        rows: &[(u32, OutRow)],
        timeout: Duration,
        claims: u32,
    ) -> Settled {
        // Another call has another key: what is asked under a known one may be taken for done.
        let key = format!("conformance-{}", CALLS.fetch_add(1, Ordering::Relaxed));
        let call = Call { operation, rows, key: &key, session: None, timeout, claims };
        let settled = call.settle(self.connector, self.pacer, self.clock, &mut || false).await;
        let numbers = rows.iter().map(|(number, _)| *number);
        assert!(settled.outcomes.keys().copied().eq(numbers), "every row has an outcome (DL-3)");
        settled
    }

    async fn all_delivered(&self, operation: Operation, rows: &[(u32, OutRow)]) {
        let settled = self.deliver(operation, rows).await;
        let odd = settled.outcomes.iter().find(|(_, row)| row.outcome != Outcome::Delivered);
        assert_eq!((odd, &settled.stop), (None, &None), "{operation} of {} rows", rows.len());
    }

    /// The list has exactly these.
    async fn has(&self, rows: &[(u32, OutRow)]) {
        let wanted = self.names_of(rows);
        let found = self.remote.members().await;
        let (missing, strays) = (wanted.difference(&found).count(), found.difference(&wanted).count());
        assert_eq!((missing, strays), (0, 0), "missing members and strays, of {} wanted", wanted.len());
    }

    fn names_of(&self, rows: &[(u32, OutRow)]) -> BTreeSet<String> {
        rows.iter().flat_map(|(_, row)| (self.names)(&row.identifiers)).collect()
    }
}

/// The rows as they are removed: identifiers only.
fn removals(rows: &[(u32, OutRow)]) -> Vec<(u32, OutRow)> {
    rows.iter().map(|(number, row)| (*number, OutRow { fields: Map::new(), ..row.clone() })).collect()
}
