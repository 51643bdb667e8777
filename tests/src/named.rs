//! Lists that are made and deleted at the scripted destination, and the names by which people know them.

use std::collections::{BTreeMap, BTreeSet};

use driftless_connector::Failure;
use driftless_model::SyncId;

use crate::list::{ListId, Mood, Remote, Scripted, State};

/// Which lists there are. The configured one is there from the beginning, and has the name of its sync.
#[derive(Default)]
pub(crate) struct Named {
    made: u64,
    /// What people know lists by.
    names: BTreeMap<ListId, String>,
    gone: BTreeSet<ListId>,
}

impl Named {
    /// True for a list that was deleted.
    pub(crate) fn is_gone(&self, list: &ListId) -> bool {
        self.gone.contains(list)
    }

    /// What people know it by.
    fn name(&self, list: &ListId) -> String {
        self.names.get(list).cloned().unwrap_or_else(|| list.1.clone())
    }

    /// The list of that name, made if there is none.
    fn make(&mut self, sync: &SyncId, name: &str) -> String {
        let there = self.names.iter().find(|(list, called)| list.0 == *sync && *called == name);
        if let Some((list, _)) = there {
            return list.1.clone();
        }
        self.made += 1;
        let list = (sync.clone(), format!("list-{}", self.made));
        self.names.insert(list.clone(), name.to_owned());
        list.1
    }

    fn rename(&mut self, list: ListId, name: String) {
        if !self.is_gone(&list) {
            self.names.insert(list, name);
        }
    }
}

impl Remote {
    /// The lists of a sync that are there, with what people know them by.
    pub fn lists(&self, sync: &SyncId) -> BTreeMap<String, String> {
        let state = self.lock();
        let configured = (sync.clone(), sync.to_string());
        let all = state.named.names.keys().filter(|list| list.0 == *sync).chain([&configured]);
        all.filter(|list| !state.named.is_gone(list)).map(|list| (list.1.clone(), state.named.name(list))).collect()
    }
}

impl State {
    /// A request about lists: what it answers, and whether that is heard.
    fn about_lists<T>(&mut self, what: impl FnOnce(&mut Self) -> T) -> Result<T, Failure> {
        let lost = || Failure::Unavailable { reason: "timeout".into() };
        if self.down {
            return Err(Failure::Unavailable { reason: "503".into() });
        }
        match self.mood() {
            Mood::LosesAnswer | Mood::GetsItLate => {
                what(self);
                Err(lost())
            }
            Mood::NeverGetsIt => Err(lost()),
            Mood::Throttles => Err(Failure::Throttled { after: None, reason: "429".into() }),
            Mood::RefusesUs => Err(Failure::Fatal { reason: "401".into() }),
            Mood::Answers | Mood::AnswersHalf | Mood::RejectsAll => Ok(what(self)),
        }
    }
}

impl Scripted {
    async fn about_lists<T: Send>(
        &self,
        step: &'static str,
        what: impl FnOnce(&mut State) -> T + Send,
    ) -> Result<T, Failure> {
        let work = async { Ok::<_, ()>(self.remote.lock().about_lists(what)) };
        let answered = self.steps.step(step, work, || ()).await;
        answered.unwrap_or_else(|()| Err(Failure::Unavailable { reason: "reset".into() }))
    }

    pub(crate) async fn make(&self, name: &str) -> Result<String, Failure> {
        let sync = &self.list.0;
        let made = self.about_lists("create_list", |state| {
            let list = state.named.make(sync, name);
            self.ghosts.made(sync, name, &list);
            list
        });
        let made = made.await;
        self.ghosts.note(format!("   {sync}: the list {name} is asked for: {made:?}"));
        made
    }

    pub(crate) async fn delete(&self, list: &str) -> Result<(), Failure> {
        let id = (self.list.0.clone(), list.to_owned());
        self.ghosts.deletes(&id);
        let deleted = self.about_lists("retire_list", |state| {
            state.members.remove(&id);
            state.named.names.remove(&id);
            state.named.gone.insert(id.clone());
        });
        let deleted = deleted.await;
        self.ghosts.note(format!("   {}: the list {list} is to go: {deleted:?}", id.0));
        deleted
    }

    pub(crate) async fn rename(&self, old: &str, new: &str, mark: &str) -> Result<String, Failure> {
        let id = |list: &str| (self.list.0.clone(), list.to_owned());
        let (from, to) = (id(old), id(new));
        let passed = self.about_lists("pass_name_on", |state| {
            if state.named.is_gone(&from) {
                return;
            }
            let name = state.named.name(&from);
            let name = name.strip_suffix(mark).unwrap_or(&name).to_owned();
            state.named.rename(from, format!("{name}{mark}"));
            state.named.rename(to, name);
        });
        passed.await.map(|()| old.to_owned())
    }
}
