//! A list as a stub keeps it, with the faults that stand before it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use crate::{Does, Got, Server, faults::Faults};

/// The members of a stub's list by name, each with the first name that is kept of it. Clones share them.
#[derive(Clone, Default)]
pub struct List {
    members: Arc<Mutex<BTreeMap<String, String>>>,
    pub faults: Faults,
}

impl List {
    pub fn members(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.members.lock().unwrap()
    }

    /// A server of this list.
    pub async fn behind(&self, answer: fn(&Self, &Got) -> Does) -> Server {
        let list = self.clone();
        Server::start(move |got: &Got, _| answer(&list, got)).await
    }
}
