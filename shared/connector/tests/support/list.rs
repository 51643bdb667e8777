//! What runs both suites on a kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
};

use async_trait::async_trait;
use driftless_connector::{
    Connector, OutRow,
    conformance::{Fault, Manners, Person, Remote, Subject, VirtualTime, as_sent, conforms},
};
use driftless_model::IdentifierSet;

use super::{
    Server, row_of,
    simulation::{seeds, simulate},
};

pub use driftless_stubs::List;

/// A stub as the suites see it. `values` is false where the destination keeps names only.
struct Side {
    list: List,
    values: bool,
}

#[async_trait]
impl Remote for Side {
    async fn members(&self) -> BTreeSet<String> {
        self.list.members().keys().cloned().collect()
    }

    async fn first_names(&self) -> Option<BTreeMap<String, String>> {
        self.values.then(|| self.list.members().clone())
    }

    async fn inject(&self, fault: Option<Fault>) {
        self.list.faults.inject(fault);
    }
}

/// A stub that runs, and the connector that talks to it.
pub type Running = (Server, Box<dyn Connector>);

/// What a kind brings to the suites.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Starts its stub on a list.
    pub start: fn(List) -> Pin<Box<dyn Future<Output = Running>>>,
    /// The record of a person.
    pub row: fn(&Person) -> OutRow,
    /// The names that its list keeps.
    pub names: fn(&IdentifierSet) -> BTreeSet<String>,
    /// What can go wrong.
    pub manners: Manners,
    /// The list keeps first names.
    pub values: bool,
}

impl Kind {
    /// A kind whose list keeps e-mail addresses as they are sent, and first names.
    pub fn new(start: fn(List) -> Pin<Box<dyn Future<Output = Running>>>) -> Self {
        Self { start, row: row_of, names: as_sent, manners: Manners::default(), values: true }
    }

    /// The conformance suite.
    pub async fn conforms(&self) {
        let list = List::default();
        let (_server, connector) = (self.start)(list.clone()).await;
        let side = Side { list, values: self.values };
        let time = VirtualTime::default();
        conforms(self.subject(&*connector, &side, &time)).await;
    }

    /// The simulation, for a few seeds.
    pub async fn converges(&self) {
        for seed in seeds() {
            let list = List::default();
            let (_server, connector) = (self.start)(list.clone()).await;
            let side = Side { list: list.clone(), values: self.values };
            let time = VirtualTime::default();
            simulate(self.subject(&*connector, &side, &time), &list.faults, seed).await;
        }
    }

    fn subject<'a>(&self, connector: &'a dyn Connector, side: &'a Side, time: &'a VirtualTime) -> Subject<'a> {
        Subject::new(connector, side, time, self.row).keeping(self.names).with(self.manners)
    }
}
