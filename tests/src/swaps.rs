//! What must hold when a list takes the place of another.

use driftless_deltalog::Deltalog;
use driftless_deltalog::ledger::Run;
use driftless_model::{IdentifierSet, KeyHash, SyncId};

use crate::at_once;
use crate::ghosts::{Ghosts, shown};
use crate::list::ListId;

impl Ghosts {
    /// A list is about to be deleted: not the one that the sync goes by.
    pub fn deletes(&self, (sync, list): &ListId) {
        let current = self.head(sync).is_some_and(|head| head.list() == list);
        self.require(!current, || format!("DL-1 the list {list} of {sync} is deleted, which it goes by"));
    }

    /// A list of that name was asked for, and is there.
    pub fn made(&self, sync: &SyncId, name: &str, list: &str) {
        self.with(sync, |f| f.made.insert(name.to_owned(), list.to_owned()));
    }

    /// The list that the calls of a run go to, once it is made. Asks nobody: requests are under way when it is called.
    pub(crate) fn list_of(&self, run: &Run) -> Option<String> {
        match &run.new_list {
            Some(name) => self.with(&run.sync, |f| f.made.get(name).cloned()),
            None => Some(run.list.clone()),
        }
    }

    /// The list of a run took the place of another: everything is in it that was acknowledged, nobody else, and nobody is lost
    /// whom a guard holds.
    pub fn swapped(&self, sync: &SyncId, old: &str, run: &str) {
        let (Some(head), Some(run)) = (self.head(sync), self.run(sync, run)) else { return };
        let (Some(rows), Some(list)) = (self.changeset(&run), self.list_of(&run)) else { return };
        self.note(format!("** {sync} goes by the list {list} instead of {old}"));
        self.require(head.list() == list, || format!("DL-1 {sync} goes by {}, {list} was loaded", head.list()));
        let members = self.remote.members(sync, &list);
        let calls = at_once(self.log.calls(sync, &run.id)).unwrap_or_default();
        for call in &calls {
            let Some(outcome) = &call.outcome else {
                return self
                    .violated(format!("DL-2 {list} takes the place of {old} before call {} has settled", call.number));
            };
            let first = usize::try_from(call.first_row).unwrap_or(usize::MAX);
            for (row, number) in rows.iter().skip(first).take(call.rows as usize).zip(0u32..) {
                let there = !outcome.exceptions.contains_key(&number) || row.identifiers.is_empty();
                let has = row.identifiers.iter().all(|i| members.contains_key(i));
                self.require(!row.operation.sends() || !there || has, || {
                    format!("DL-2 {} is not in {list}, which took the place of {old}", shown(&row.identifiers))
                });
            }
        }
        let before: IdentifierSet = self.remote.members(sync, old).into_keys().collect();
        let lost = self.with(sync, |f| {
            let there = |k: &KeyHash| f.lists.get(old).and_then(|of| of.sent.get(k)).cloned().unwrap_or_default();
            let held = f.held.iter().filter(|(_, version)| run.through >= **version).map(|(k, _)| there(k));
            held.flatten().any(|i| before.contains(&i) && !members.contains_key(&i))
        });
        self.require(!lost, || format!("DL-8 {list} takes the place of {old} without somebody who is held"));
    }
}
