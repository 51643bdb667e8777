//! What a run is to do, before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use driftless_changeset::{Net, NetInput, Removal, net_changes, outlives_bulk};
use driftless_config::Strategy;
use driftless_deltalog::head::Head;
use driftless_model::{AckRow, KeyHash, Millis, RecordState};
use driftless_state::{Cut, Part, Rest, SyncState, Touched};

use crate::error::Error;
use crate::plan::{Planner, removed};
use crate::setting::{Setting, mode};
use crate::strategy::{Alternative, Amounts, KEPT_BACK, Way, alternatives, choose, rather};

/// What planning decided, before anything is written.
pub(crate) struct Decision {
    pub(crate) way: Way,
    /// The strategy, and why.
    pub(crate) strategy: String,
    pub(crate) alternatives: Vec<Alternative>,
    pub(crate) net: Net,
    pub(crate) a_size: u64,
    pub(crate) run_hold: Option<(BTreeSet<KeyHash>, String)>,
    pub(crate) over: Vec<(u64, String)>,
    /// What is left to the runs after this one.
    pub(crate) rest: Option<Rest>,
    /// Bytes that what is sent may take.
    pub(crate) sent_bytes: u64,
}

impl Decision {
    /// Leaves more to the runs after this one.
    pub(crate) fn leaves(&mut self, later: Rest) {
        if later.waiting() > 0 {
            let rest = self.rest.get_or_insert_default();
            rest.adds += later.adds;
            rest.updates += later.updates;
        }
    }
}

impl Planner {
    /// What differs, and how it is made equal. Where nothing differs a list is not replaced.
    pub(crate) async fn decide(
        &self,
        head: &Head,
        setting: &Setting,
        state: &SyncState<'_>,
    ) -> Result<Decision, Error> {
        let full = setting.config.strategy == Strategy::FullThenRemove;
        let mut decision = self.decide_for(head, setting, state, full).await?;
        let amounts = Amounts::of(&decision.net, decision.a_size).and(decision.rest);
        decision.alternatives = alternatives(&amounts, setting.config.mode, &setting.capabilities);
        let (mut way, mut strategy) = choose(setting.config.strategy, &decision.alternatives);
        if way.sends_all()
            && let Err(problem) = self.room.holds(amounts.list)
        {
            let delta = decision.alternatives.iter().find(|a| a.way == Way::Delta);
            if setting.config.strategy != Strategy::Auto || delta.is_some_and(|delta| delta.impossible.is_some()) {
                return Err(problem.into());
            }
            // A delta can be sent in parts.
            strategy = format!("delta, not {}: {problem}", way.strategy().as_str());
            way = Way::Delta;
        }
        if way.sends_all() && !full && !decision.net.is_empty() {
            let whole = self.decide_for(head, setting, state, true).await?.net;
            if way.leaves_nobody_else() && Amounts::of(&whole, decision.a_size).kept_back > 0 {
                // A member that does not differ, and was refused too often when the whole list was sent: it stays as it is.
                (way, strategy) = rather(&decision.alternatives, way.strategy(), KEPT_BACK);
            }
            if way.sends_all() {
                (decision.net, decision.rest) = (whole, None);
            }
        }
        Ok(Decision { way, strategy, ..decision })
    }

    /// D against A, under holds, horizon, quarantine and the guards of the run. With `full` members that do not differ are sent too.
    async fn decide_for(
        &self,
        head: &Head,
        setting: &Setting,
        state: &SyncState<'_>,
        full: bool,
    ) -> Result<Decision, Error> {
        let share = self.room.share(head, state.differ_at_most().await?, &setting.capabilities)?;
        if full {
            self.room.holds(state.list_at_most().await?)?;
        }
        let deltas = state.deltas().await?;
        let a_size = state.list_size(&deltas).await?;
        let now = self.clock.now();
        let horizon = setting.config.horizon.map(|h| now.plus(-h.as_millis()));
        let beyond_horizon = |updated_at: &BTreeMap<KeyHash, Millis>| -> BTreeSet<KeyHash> {
            let old = |at: &Millis| horizon.is_some_and(|h| *at < h);
            updated_at.iter().filter(|(_, at)| old(at)).map(|(k, _)| *k).collect()
        };
        let limit = setting.config.attempt_limit;
        let rejects = self.log.rejects(&head.sync).await?;
        let quarantined = rejects.iter().filter(|r| r.attempts >= limit).map(|r| (r.key_hash, r.attr_hash)).collect();
        let mut holds: BTreeMap<u64, BTreeSet<KeyHash>> = BTreeMap::new();
        for (number, hold) in &head.holds {
            holds.insert(*number, driftless_history::read_holds(self.objects.as_ref(), &hold.object).await?);
        }
        let bulk = state.newest_bulk(None).map(|(version, _)| version);
        let named_by = |approved: bool| -> BTreeSet<KeyHash> {
            let of = |n: &u64| {
                let hold = head.holds.get(n).filter(|_| outlives_bulk(Head::held_version(*n), bulk));
                hold.is_some_and(|h| h.approved_at.is_some() == approved)
            };
            holds.iter().filter(|(n, _)| of(n)).flat_map(|(_, keys)| keys.iter().copied()).collect()
        };
        let (mut held, approved) = (named_by(false), named_by(true));
        let mode = mode(setting.config.mode);
        let alone = |of: &Touched, a: &BTreeMap<KeyHash, AckRow>| -> BTreeSet<KeyHash> {
            let net = net_changes(&NetInput {
                d: &of.states,
                a,
                resend: &BTreeMap::new(),
                held: &held,
                beyond_horizon: &beyond_horizon(&of.updated_at),
                quarantined: &quarantined,
                mode,
            });
            net.sends.into_iter().map(|s| s.key_hash).collect()
        };
        let fingerprint = &head.config.fingerprint;
        let cut = if full { Cut::NONE } else { share.cut(&alone) };
        let part = state.part(&deltas, fingerprint, &cut).await;
        let Part { touched: Touched { states, updated_at }, rest } = match part {
            Err(driftless_state::Error::CannotWait { records }) => return Err(self.room.too_many(records).into()),
            part => part?,
        };
        // Who waits must not be sent as A has them meanwhile: the buffer goes on when nobody waits any more.
        let resend = match rest {
            Some(_) => BTreeMap::new(),
            None => self.resend(head, setting, state, &deltas, &states, full).await?,
        };
        let keys: BTreeSet<KeyHash> = states.keys().chain(resend.keys()).copied().collect();
        let a: BTreeMap<KeyHash, AckRow> = state.a_rows(&keys, &deltas, fingerprint).await?;
        let beyond_horizon = beyond_horizon(&updated_at);
        let input = |held: &BTreeSet<KeyHash>| {
            net_changes(&NetInput {
                d: &states,
                a: &a,
                resend: &resend,
                held,
                beyond_horizon: &beyond_horizon,
                quarantined: &quarantined,
                mode,
            })
        };
        let mut net = input(&held);
        // Nine per cent a day must not empty a list in a week: what leaves A in this run, but for what a person approved.
        let leaving = |r: &&Removal| states.get(&r.key_hash).is_some_and(|(_, s)| s.is_none());
        let unapproved: BTreeSet<KeyHash> =
            net.removals.iter().filter(leaving).map(|r| r.key_hash).filter(|k| !approved.contains(k)).collect();
        let allowed = setting.config.guards.max_removals.of(a_size);
        let mut run_hold = None;
        if unapproved.len() as u64 > allowed {
            let reason = format!(
                "a run would remove {} of {a_size} members, {allowed} allowed (max_removals)",
                unapproved.len()
            );
            held.extend(&unapproved);
            net = input(&held);
            run_hold = Some((unapproved, reason));
        }
        let pending: BTreeSet<KeyHash> = net.held.iter().copied().chain(removed(&net)).collect();
        // Whoever a hold is about may be among those that are not looked at.
        let all = rest.is_none();
        let over =
            head.holds.iter().filter(|(n, _)| all && holds.get(n).is_some_and(|keys| keys.is_disjoint(&pending)));
        let over = over.map(|(n, h)| (*n, h.object.clone())).collect();
        let (way, strategy) = (Way::Delta, String::new());
        let (alternatives, sent_bytes) = (Vec::new(), share.sent_bytes);
        Ok(Decision { way, strategy, alternatives, net, a_size, run_hold, over, rest, sent_bytes })
    }

    /// Members of D that are sent although nothing differs: all of them where the whole list is sent, what was delivered lately
    /// while the buffer lasts.
    async fn resend(
        &self,
        head: &Head,
        setting: &Setting,
        state: &SyncState<'_>,
        deltas: &BTreeMap<KeyHash, Option<AckRow>>,
        states: &driftless_changeset::States,
        full: bool,
    ) -> Result<BTreeMap<KeyHash, RecordState>, Error> {
        let buffer = setting.config.buffer;
        if (!full && buffer.is_zero()) || !state.made_under(&head.config.fingerprint) {
            return Ok(BTreeMap::new());
        }
        let since = self.clock.now().plus(-buffer.as_millis());
        let rows = state.all_rows(deltas).await?;
        let again = rows.into_iter().filter(|(_, r)| full || r.last_sent_at.is_some_and(|at| at >= since));
        Ok(again
            .filter_map(|(k, row)| match states.get(&k) {
                Some((_, state)) => state.clone().map(|s| (k, s)),
                None => row.acknowledged.map(|a| {
                    let s = RecordState { key: row.key, attr_hash: a.attr_hash, identifiers: a.identifiers };
                    (k, s)
                }),
            })
            .collect())
    }
}
