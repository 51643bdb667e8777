//! What the registry says of a sync after `apply`, given what it said before.

use driftless_config::Sync;
use driftless_deltalog::head::{ConfigStamp, Names};
use driftless_deltalog::registry::SyncEntry;
use driftless_model::{Millis, SyncId};

/// What a new entry means for the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Registered for the first time, or again after it was deleted.
    New,
    /// Tenant, dataset, destination, kind or list is another: what was acknowledged belongs to another list.
    OtherList,
    /// Key, selection, mapping or `prefer` changed: all that are selected are sent again.
    SendAgain,
    /// Everything else: guards, schedule, mode, …
    Settings,
    /// Nothing changed.
    Same,
}

impl Meaning {
    /// One word for tables and JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::OtherList => "other_list",
            Self::SendAgain => "send_again",
            Self::Settings => "settings",
            Self::Same => "same",
        }
    }

    /// What follows, for people.
    pub(crate) const fn follows(self) -> &'static str {
        match self {
            Self::New => "the newest snapshot is taken up",
            Self::OtherList => "starts anew on another list; members of the old list stay where they are",
            Self::SendAgain => "all that are selected are sent again, those who left are removed",
            Self::Settings => "in force from the next run",
            Self::Same => "",
        }
    }

    /// True if the newest snapshot must be ingested (again) for it.
    pub(crate) const fn ingests(self) -> bool {
        matches!(self, Self::New | Self::OtherList | Self::SendAgain)
    }
}

/// What the project says of a sync.
pub(crate) struct Wanted<'a> {
    pub(crate) sync: &'a SyncId,
    pub(crate) config: &'a Sync,
    /// Object key of its document.
    pub(crate) object: String,
    pub(crate) names: Names,
}

/// The part of a fingerprint that is the configuration's own: `resync` salts it.
pub(crate) fn base_fingerprint(fingerprint: &str) -> &str {
    fingerprint.split('~').next().unwrap_or(fingerprint)
}

/// A fingerprint that differs from every earlier one of the same configuration.
pub(crate) fn salted(fingerprint: &str, epoch: u64) -> String {
    format!("{fingerprint}~{epoch}")
}

/// The entry to register, and what it means. `last_incarnation` is that of a head which is there already.
///
/// The incarnation grows when the list becomes another one, or when a deleted sync comes back (its old head must not be
/// taken for its own); the epoch grows with the fingerprint (protocol rule 14).
pub(crate) fn entry(
    wanted: &Wanted<'_>,
    stored: Option<&SyncEntry>,
    last_incarnation: Option<u64>,
    now: Millis,
) -> (SyncEntry, Meaning) {
    let fingerprint = wanted.config.fingerprint();
    let new = |incarnation, config, paused, revision| SyncEntry {
        sync: wanted.sync.clone(),
        dataset: wanted.config.dataset.clone(),
        destination: wanted.config.destination.clone(),
        incarnation,
        names: wanted.names.clone(),
        config,
        object: wanted.object.clone(),
        paused,
        applied_at: now,
        revision,
    };
    let Some(old) = stored else {
        let config = ConfigStamp { epoch: 1, fingerprint };
        return (new(last_incarnation.unwrap_or(0) + 1, config, false, 1), Meaning::New);
    };
    let again = base_fingerprint(&old.config.fingerprint) != fingerprint;
    let config = if again { ConfigStamp { epoch: old.config.epoch + 1, fingerprint } } else { old.config.clone() };
    let other_list = old.names != wanted.names;
    let meaning = match () {
        () if other_list => Meaning::OtherList,
        () if again => Meaning::SendAgain,
        () if old.object != wanted.object => Meaning::Settings,
        () => return (old.clone(), Meaning::Same),
    };
    let incarnation = old.incarnation.max(last_incarnation.unwrap_or(0)) + u64::from(other_list);
    (new(incarnation, config, old.paused, old.revision + 1), meaning)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use driftless_config::parse_sync;

    use super::*;

    pub(crate) fn config(extra: &str) -> Sync {
        let text = format!(
            "version: 1\ndataset: acme/customers\nkey: id\nmapping: {{ email: email }}\ndestination: crm\n{extra}"
        )
        .replace("email: email", "email: { column: email, identifier: true }");
        parse_sync(&text, Path::new("syncs/news.yaml")).unwrap()
    }

    fn names(list: &str) -> Names {
        Names {
            dataset: "acme/customers".parse().unwrap(),
            source: "s3://bucket/datasets/acme/customers/".into(),
            kind: "rest".into(),
            destination: "crm".parse().unwrap(),
            list: list.into(),
        }
    }

    fn apply(config: &Sync, list: &str, stored: Option<&SyncEntry>, head: Option<u64>) -> (SyncEntry, Meaning) {
        let sync = "news".parse().unwrap();
        let object = format!("config/{}", serde_json::to_string(config).unwrap().len());
        entry(&Wanted { sync: &sync, config, object, names: names(list) }, stored, head, Millis(1))
    }

    #[test]
    fn a_second_apply_changes_nothing() {
        let (first, meaning) = apply(&config(""), "a", None, None);
        assert_eq!((meaning, first.incarnation, first.config.epoch, first.revision), (Meaning::New, 1, 1, 1));
        assert_eq!(apply(&config(""), "a", Some(&first), Some(1)), (first, Meaning::Same));
    }

    #[test]
    fn the_epoch_grows_with_what_is_sent_and_the_incarnation_with_the_list() {
        let (first, _) = apply(&config(""), "a", None, None);
        let (again, meaning) = apply(&config("selection: { where: consent }\n"), "a", Some(&first), Some(1));
        assert_eq!((meaning, again.config.epoch, again.incarnation, again.revision), (Meaning::SendAgain, 2, 1, 2));
        let (settings, meaning) = apply(&config("schedule: daily\n"), "a", Some(&first), Some(1));
        assert_eq!((meaning, settings.config), (Meaning::Settings, first.config.clone()));
        let (other, meaning) = apply(&config(""), "b", Some(&first), Some(1));
        assert_eq!((meaning, other.incarnation, other.config.epoch), (Meaning::OtherList, 2, 1));
    }

    #[test]
    fn a_recreated_sync_does_not_take_its_old_head_for_its_own() {
        assert_eq!(apply(&config(""), "a", None, Some(3)).0.incarnation, 4);
    }

    #[test]
    fn a_resync_is_no_change_of_the_configuration() {
        let (mut entry, _) = apply(&config(""), "a", None, None);
        entry.config = ConfigStamp { epoch: 2, fingerprint: salted(&entry.config.fingerprint, 2) };
        assert_eq!(apply(&config(""), "a", Some(&entry), Some(1)).1, Meaning::Same);
        let (changed, _) = apply(&config("selection: { where: consent }\n"), "a", Some(&entry), Some(1));
        assert_eq!((changed.config.epoch, changed.config.fingerprint.contains('~')), (3, false));
    }
}
