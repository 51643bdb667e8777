//! Which strategy a run follows: the one that the user fixed, or else the cheapest that the destination can do without emptying
//! its list, counted in calls, then in records.

use core::num::NonZeroU32;

use driftless_changeset::Net;
use driftless_config::{Mode, Strategy};
use driftless_connector::{Capabilities, Limits, Replace};
use driftless_model::Operation;

/// How a run makes the list equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Only what changed.
    Delta,
    /// First the whole list, then who left (US 2025/0265237, FIG. 2).
    FullThenRemove,
    /// The whole list takes the place of what was there.
    Replace(Replace),
    /// A new list is made and loaded, and takes the place of the old one.
    NewList {
        /// The limits of a part, where it is loaded by a session; else it is loaded by adding.
        parts: Option<Limits>,
    },
}

impl Way {
    /// The strategy's name.
    #[must_use]
    pub const fn strategy(self) -> Strategy {
        match self {
            Self::Delta => Strategy::Delta,
            Self::FullThenRemove => Strategy::FullThenRemove,
            Self::Replace(_) => Strategy::Replace,
            Self::NewList { .. } => Strategy::NewList,
        }
    }

    /// True if members that do not differ are sent too.
    #[must_use]
    pub const fn sends_all(self) -> bool {
        !matches!(self, Self::Delta)
    }

    /// True if whoever is not sent is out of the list afterwards.
    #[must_use]
    pub const fn leaves_nobody_else(self) -> bool {
        matches!(self, Self::Replace(_) | Self::NewList { .. })
    }

    /// How the calls that load the whole list follow each other, if it does that. A new list that is loaded by adding ends as one
    /// that is cleared afterwards: with a call that those who left belong to.
    #[must_use]
    pub const fn loading(self) -> Option<Replace> {
        match self {
            Self::Replace(replace) => Some(replace),
            Self::NewList { parts: Some(limits) } => Some(Replace::Session { limits, open_for: None }),
            Self::NewList { parts: None } => Some(Replace::ClearAfter),
            Self::Delta | Self::FullThenRemove => None,
        }
    }
}

/// What a run has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Records that enter the list.
    pub adds: u64,
    /// Records that are sent again.
    pub updates: u64,
    /// Records that leave.
    pub removals: u64,
    /// Members of the list before.
    pub before: u64,
    /// Members of the list afterwards.
    pub list: u64,
    /// Records that a hold, the horizon or too many rejections keep as they are.
    pub kept_back: u64,
}

impl Amounts {
    /// Of what differs, for a list of `a_size` members.
    #[must_use]
    pub fn of(net: &Net, a_size: u64) -> Self {
        let adds = net.sends.iter().filter(|s| s.operation == Operation::Add).count() as u64;
        let updates = net.sends.len() as u64 - adds;
        let removals = net.removals.len() as u64;
        let kept_back = net.held.len() as u64 + net.beyond_horizon + net.quarantined;
        Self { adds, updates, removals, before: a_size, list: (a_size + adds).saturating_sub(removals), kept_back }
    }
}

/// One strategy, and what it would take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// The strategy.
    pub way: Way,
    /// Data calls, by the number of records only.
    pub calls: u64,
    /// Records sent and removed.
    pub records: u64,
    /// Why it cannot be taken.
    pub impossible: Option<&'static str>,
}

/// All that this destination could be asked for, the delta first.
#[must_use]
pub fn alternatives(amounts: &Amounts, mode: Mode, capabilities: &Capabilities) -> Vec<Alternative> {
    let each = |operation| capabilities.limits(operation).map_or(1, |limits| limits.records.get());
    let add = if capabilities.add.is_some() { each(Operation::Add) } else { each(Operation::Update) };
    let update = if capabilities.update.is_some() { each(Operation::Update) } else { add };
    let removing = calls(amounts.removals, each(Operation::Remove));
    let cannot_send = capabilities.add.is_none() && capabilities.update.is_none();
    let cannot_remove = amounts.removals > 0 && capabilities.remove.is_none();
    let impossible = match (cannot_send, cannot_remove) {
        (true, _) => Some("the destination takes whole lists only"),
        (false, true) => Some("the destination cannot remove"),
        (false, false) => None,
    };
    let mut all = vec![
        Alternative {
            way: Way::Delta,
            calls: if capabilities.update.is_some() {
                calls(amounts.adds, add) + calls(amounts.updates, update)
            } else {
                calls(amounts.adds + amounts.updates, add)
            } + removing,
            records: amounts.adds + amounts.updates + amounts.removals,
            impossible,
        },
        Alternative {
            way: Way::FullThenRemove,
            calls: calls(amounts.list, add) + removing,
            records: amounts.list + amounts.removals,
            impossible,
        },
    ];
    if let Some(replace) = capabilities.replace {
        let (part, closing) = match replace {
            Replace::Session { limits, .. } => (limits.records.get(), 0),
            Replace::ClearFirst | Replace::ClearAfter => (add, 1),
        };
        all.push(Alternative {
            way: Way::Replace(replace),
            calls: calls(amounts.list, part) + closing,
            records: amounts.list,
            impossible: if let Some(why) = not_whole(amounts, mode) {
                Some(why)
            } else if amounts.list == 0 && matches!(replace, Replace::Session { .. }) {
                Some("a session needs a member")
            } else {
                None
            },
        });
    }
    all.extend(new_list(amounts, mode, capabilities, add));
    all
}

/// Why a list must not become exactly what is sent.
fn not_whole(amounts: &Amounts, mode: Mode) -> Option<&'static str> {
    match () {
        () if mode != Mode::Mirror => Some("only a mirror is replaced"),
        () if amounts.kept_back > 0 => Some(KEPT_BACK),
        () => None,
    }
}

/// Why a list is not replaced although somebody wants that.
pub(crate) const KEPT_BACK: &str = "it would drop members that are kept as they are";

/// A new list: made by one call, loaded by the others, and one that retires the old.
fn new_list(amounts: &Amounts, mode: Mode, capabilities: &Capabilities, add: u32) -> Option<Alternative> {
    if !capabilities.new_list {
        return None;
    }
    let parts = match (capabilities.add, capabilities.replace) {
        (Some(_), _) => None,
        (None, Some(Replace::Session { limits, .. })) => Some(limits),
        (None, _) => return None,
    };
    let impossible = match () {
        () if amounts.before == 0 => Some("nobody is in the list yet: it is filled as it is"),
        () if amounts.list == 0 && parts.is_some() => Some("a session needs a member"),
        () => not_whole(amounts, mode),
    };
    let each = parts.map_or(add, |limits| limits.records.get());
    let calls = calls(amounts.list, each) + 2;
    Some(Alternative { way: Way::NewList { parts }, calls, records: amounts.list, impossible })
}

fn calls(records: u64, each: u32) -> u64 {
    records.div_ceil(u64::from(NonZeroU32::new(each).map_or(1, NonZeroU32::get)))
}

/// The way of a run, and its name with the reason where that is not plain.
#[must_use]
pub fn choose(wanted: Strategy, alternatives: &[Alternative]) -> (Way, String) {
    let named = |strategy: Strategy| alternatives.iter().find(|a| a.way.strategy() == strategy);
    let plain = |way: Way| (way, way.strategy().as_str().to_owned());
    match wanted {
        Strategy::FullThenRemove => plain(Way::FullThenRemove),
        Strategy::Replace => match named(Strategy::Replace) {
            Some(Alternative { way, impossible: None, .. }) => plain(*way),
            Some(Alternative { impossible: Some(why), .. }) => (Way::Delta, format!("delta, not replace: {why}")),
            None => (Way::Delta, "delta, not replace: the destination cannot".to_owned()),
        },
        Strategy::Auto => {
            let delta = named(Strategy::Delta);
            let unattended = alternatives.iter().filter(|a| {
                a.impossible.is_none()
                    && matches!(a.way, Way::Delta | Way::Replace(Replace::Session { .. } | Replace::ClearAfter))
            });
            // Of equals the first: the delta sends the least.
            match (unattended.min_by_key(|a| (a.calls, a.records)), delta) {
                (Some(best), Some(delta)) if best.way != Way::Delta => {
                    let why = match delta.impossible {
                        Some(why) => why.to_owned(),
                        None => format!("{} calls instead of {}", best.calls, delta.calls),
                    };
                    (best.way, format!("{}: {why}", best.way.strategy().as_str()))
                }
                _ => plain(Way::Delta),
            }
        }
        Strategy::NewList => match named(Strategy::NewList) {
            Some(Alternative { way, impossible: None, .. }) => plain(*way),
            Some(Alternative { impossible: Some(why), .. }) => rather(alternatives, Strategy::NewList, why),
            None => rather(alternatives, Strategy::NewList, "the destination cannot"),
        },
        Strategy::Delta | Strategy::Compare => plain(Way::Delta),
    }
}

/// What is done where that must not be: the delta, or what else the destination can where it can no delta.
#[must_use]
pub(crate) fn rather(alternatives: &[Alternative], not: Strategy, why: &str) -> (Way, String) {
    let cannot = alternatives.iter().any(|a| a.way == Way::Delta && a.impossible.is_some());
    let way = if cannot { choose(Strategy::Auto, alternatives).0 } else { Way::Delta };
    (way, format!("{}, not {}: {why}", way.strategy().as_str(), not.as_str()))
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use driftless_connector::Limits;

    use super::*;

    fn limits(records: u32) -> Limits {
        Limits::records(NonZeroU32::new(records).expect("not zero"))
    }

    fn destination(replace: Option<Replace>) -> Capabilities {
        Capabilities { add: Some(limits(100)), remove: Some(limits(1)), replace, ..Capabilities::default() }
    }

    fn chosen(strategy: Strategy, replace: Option<Replace>, amounts: Amounts) -> (Strategy, String) {
        let (way, text) = choose(strategy, &alternatives(&amounts, Mode::Mirror, &destination(replace)));
        (way.strategy(), text)
    }

    const SESSION: Replace = Replace::Session { limits: Limits::records(NonZeroU32::MIN), open_for: None };

    #[test]
    fn the_fewest_calls_win_and_the_delta_among_equals() {
        let few = Amounts { adds: 10, removals: 2, list: 1_000, ..Amounts::default() };
        let many = Amounts { removals: 500, ..few };
        let session = Replace::Session { limits: limits(1_000), open_for: Some(Duration::from_mins(90)) };
        assert_eq!(chosen(Strategy::Auto, Some(Replace::ClearAfter), few).0, Strategy::Delta, "3 calls, not 11");
        assert_eq!(
            chosen(Strategy::Auto, Some(session), many),
            (Strategy::Replace, "replace: 1 calls instead of 501".to_owned())
        );
        assert_eq!(chosen(Strategy::Auto, Some(Replace::ClearAfter), many).0, Strategy::Replace);
        let equal = Amounts { adds: 1, list: 1_000, ..Amounts::default() };
        assert_eq!(chosen(Strategy::Auto, Some(session), equal).0, Strategy::Delta);
    }

    #[test]
    fn nobody_empties_a_list_unasked() {
        let many = Amounts { removals: 500, list: 10, ..Amounts::default() };
        assert_eq!(chosen(Strategy::Auto, Some(Replace::ClearFirst), many).0, Strategy::Delta);
        assert_eq!(chosen(Strategy::Replace, Some(Replace::ClearFirst), many).0, Strategy::Replace);
    }

    #[test]
    fn what_is_kept_back_is_not_replaced() {
        let held = Amounts { removals: 500, list: 10, kept_back: 1, ..Amounts::default() };
        let (strategy, text) = chosen(Strategy::Replace, Some(Replace::ClearAfter), held);
        assert_eq!(strategy, Strategy::Delta);
        assert!(text.contains("kept as they are"), "{text}");
        assert_eq!(chosen(Strategy::Auto, Some(Replace::ClearAfter), held).0, Strategy::Delta);
    }

    #[test]
    fn a_list_that_cannot_be_removed_from_is_replaced() {
        let capabilities = Capabilities { remove: None, ..destination(Some(Replace::ClearAfter)) };
        let amounts = Amounts { removals: 1, list: 100_000, ..Amounts::default() };
        let all = alternatives(&amounts, Mode::Mirror, &capabilities);
        assert_eq!(choose(Strategy::Auto, &all).0, Way::Replace(Replace::ClearAfter));
        let all = alternatives(&amounts, Mode::Upsert, &capabilities);
        assert_eq!(choose(Strategy::Auto, &all).0, Way::Delta, "only a mirror is replaced");
    }

    #[test]
    fn a_destination_of_whole_lists_is_replaced() {
        let capabilities = Capabilities { add: None, remove: None, ..destination(Some(SESSION)) };
        let amounts = Amounts { adds: 1, list: 100, ..Amounts::default() };
        let all = alternatives(&amounts, Mode::Mirror, &capabilities);
        let (way, why) = choose(Strategy::Auto, &all);
        assert_eq!((way, why.as_str()), (Way::Replace(SESSION), "replace: the destination takes whole lists only"));
    }

    fn makes_lists(replace: Option<Replace>) -> Capabilities {
        Capabilities { new_list: true, ..destination(replace) }
    }

    #[test]
    fn a_new_list_is_made_only_where_somebody_wants_it() {
        let amounts = Amounts { removals: 5_000, before: 6_000, list: 1_000, ..Amounts::default() };
        let all = alternatives(&amounts, Mode::Mirror, &makes_lists(None));
        let new = all.iter().find(|a| a.way.strategy() == Strategy::NewList).expect("it can");
        assert_eq!((new.calls, new.records, new.impossible), (12, 1_000, None), "made, loaded by ten calls, retired");
        assert_eq!(choose(Strategy::NewList, &all), (Way::NewList { parts: None }, "new_list".to_owned()));
        assert_eq!(choose(Strategy::Auto, &all).0, Way::Delta, "although that takes 5,000 calls");
    }

    #[test]
    fn where_a_new_list_would_lose_somebody_or_is_not_needed_the_delta_says_why() {
        let amounts = Amounts { adds: 1, before: 10, list: 11, ..Amounts::default() };
        let chosen = |amounts: Amounts, mode, can: &Capabilities| {
            let (way, text) = choose(Strategy::NewList, &alternatives(&amounts, mode, can));
            assert_eq!(way, Way::Delta);
            text
        };
        let can = makes_lists(None);
        assert_eq!(
            chosen(Amounts { kept_back: 1, ..amounts }, Mode::Mirror, &can),
            "delta, not new_list: it would drop members that are kept as they are"
        );
        let first = Amounts { adds: 11, before: 0, ..amounts };
        assert!(chosen(first, Mode::Mirror, &can).ends_with("it is filled as it is"));
        assert!(chosen(amounts, Mode::Upsert, &can).ends_with("only a mirror is replaced"));
        assert!(chosen(amounts, Mode::Mirror, &destination(None)).ends_with("the destination cannot"));
    }

    #[test]
    fn a_destination_of_whole_lists_loads_a_new_one_by_a_session() {
        let can = Capabilities { add: None, remove: None, ..makes_lists(Some(SESSION)) };
        let amounts = Amounts { adds: 1, before: 10, list: 11, ..Amounts::default() };
        let parts = Some(Limits::records(NonZeroU32::MIN));
        assert_eq!(choose(Strategy::NewList, &alternatives(&amounts, Mode::Mirror, &can)).0, Way::NewList { parts });
        let first = Amounts { before: 0, list: 1, ..amounts };
        let (way, text) = choose(Strategy::NewList, &alternatives(&first, Mode::Mirror, &can));
        assert_eq!(way, Way::Replace(SESSION), "{text}");
    }

    #[test]
    fn a_fixed_strategy_is_taken() {
        let many = Amounts { removals: 500, list: 10, ..Amounts::default() };
        assert_eq!(chosen(Strategy::Delta, Some(SESSION), many).0, Strategy::Delta);
        assert_eq!(chosen(Strategy::FullThenRemove, Some(SESSION), many).0, Strategy::FullThenRemove);
        assert_eq!(chosen(Strategy::Replace, None, many).0, Strategy::Delta);
    }
}
