//! Random histories, step by step on the store and on the one in memory.

use std::collections::BTreeSet;

use driftless_model::{Millis, Outcome, RunId};

use super::compact::compaction;
use super::example::{
    activation, append, call, config, delivered, fold, hold, new_head, new_list, old_list, outcome, read, run_id,
    snapshot, sync, tick, token,
};
use crate::head::{ActivationGuard, Append, Attention, Head, Named, OldList, ResidueRef};
use crate::ledger::Call;
use crate::{Deltalog, MemoryDeltalog};

/// A small generator of choices (xorshift): the suite must not need a crate for it.
struct Choices(u64);

impl Choices {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn number(&mut self, n: u64) -> i64 {
        i64::try_from(self.below(n)).expect("a small number")
    }
}

/// Makes `steps` random writes of a head and of a call, with guards that are fresh, stale or somebody else's, and with
/// repetitions; after each, store and model must have answered the same and hold the same.
///
/// # Panics
/// At the first difference; the message names seed and step.
pub async fn agrees(store: &dyn Deltalog, seed: u64, steps: u32) {
    let model = MemoryDeltalog::default();
    let name = format!("model-{seed}");
    let mut choices = Choices(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut states = vec![new_head(&name)];
    for each in [store, &model] {
        super::done(each.create_head(&states[0]).await);
        each.put_calls(&sync(&name), &[call("r1", 0)]).await.expect("creates a call");
    }
    for step in 0..steps {
        // Mostly the head as it is, sometimes as it was.
        let back = if choices.below(3) == 0 { choices.below(4) } else { 0 };
        let at = states.len().saturating_sub(1 + usize::try_from(back).expect("a small number"));
        let write = Write::draw(&mut choices, step);
        let answers = [write.make(store, &states[at]).await, write.make(&model, &states[at]).await];
        assert_eq!(answers[0], answers[1], "seed {seed}, step {step}, {write:?}");
        if write.is_repeated {
            let again = [write.make(store, &states[at]).await, write.make(&model, &states[at]).await];
            assert_eq!(again[0], again[1], "seed {seed}, step {step}, repeated {write:?}");
        }
        let heads = [read(store, &name).await, read(&model, &name).await];
        assert_eq!(heads[0], heads[1], "seed {seed}, step {step}, after {write:?}");
        let (there, expected) = (a_call(store, &name).await, a_call(&model, &name).await);
        assert_eq!(there, expected, "seed {seed}, step {step}, after {write:?}");
        let [head, _] = heads;
        if states.last() != Some(&head) {
            states.push(head);
        }
    }
}

async fn a_call(store: &dyn Deltalog, name: &str) -> Option<Call> {
    store.call(&sync(name), &run_id("r1"), 0).await.expect("the store answers")
}

#[derive(Debug)]
struct Write {
    kind: u64,
    /// Distinguishes tokens, objects and times; small, so that the same ones come again.
    n: i64,
    flag: bool,
    through: u64,
    is_repeated: bool,
    step: i64,
}

impl Write {
    fn draw(choices: &mut Choices, step: u32) -> Self {
        Self {
            kind: choices.below(18),
            n: choices.number(6),
            flag: choices.below(2) == 0,
            through: choices.below(3),
            is_repeated: choices.below(4) == 0,
            step: i64::from(step),
        }
    }

    /// The answer as text, so that answers of different kinds compare.
    async fn make(&self, store: &dyn Deltalog, head: &Head) -> String {
        let Self { n, flag, step, .. } = *self;
        let sync = &head.sync;
        let run = format!("r{n}");
        let worker = token(&format!("w{}", n % 3));
        let now = Millis(step * 10);
        match self.kind {
            0..=2 => {
                let kept_back = flag.then(|| hold(&format!("hold-{step}"), 10));
                let new = Append { hold: kept_back, ..append(&format!("t{step}"), 1_000 + step) };
                format!("{:?}", store.append_version(sync, &head.guard(), &new).await)
            }
            3 => {
                let epoch = head.config.epoch + u64::from(flag);
                let stamped = store.stamp_snapshot(sync, &head.guard(), &snapshot(1_000 + step), &config(epoch)).await;
                format!("{stamped:?}")
            }
            4 | 5 => {
                let guard = ActivationGuard { delivered: head.delivered.len(), ..activation(head) };
                let tick = tick(&format!("tick-{}", if flag { step } else { n }));
                format!("{:?}", store.activate(sync, &run_id(&run), &guard, &tick).await)
            }
            6 => format!("{:?}", store.deactivate(sync, head.active_run.as_ref().unwrap_or(&run_id(&run))).await),
            7 => {
                let active = head.active_run.as_ref().map_or(run.as_str(), |r| r.as_str());
                let at = flag.then_some(now);
                format!("{:?}", store.commit(sync, &head.stamp, &delivered(active, head.version), at).await)
            }
            8 | 9 => {
                let active = head.active_run.as_ref().map(RunId::as_str);
                let mut new = fold(head, active, &format!("f{step}"), head.version.saturating_sub(self.through));
                new.residue = flag.then(|| ResidueRef { object: format!("residue-{step}"), count: 1 });
                new.new_list = active.filter(|_| n == 1).map(|run| new_list(head, run));
                format!("{:?}", store.fold(sync, &new).await)
            }
            10 => {
                let number = Head::run_hold(head.version);
                let placed = store.place_hold(sync, &head.guard(), number, &hold(&format!("h{n}"), 5)).await;
                let approved = store.approve(sync, number, if flag { 5 } else { 4 }, now).await;
                format!("{placed:?} {approved:?}")
            }
            11 => {
                let number = *head.holds.keys().next().unwrap_or(&1);
                let object = head.holds.values().next().map_or("none", |h| h.object.as_str());
                format!("{:?}", store.drop_hold(sync, number, if flag { object } else { "other" }).await)
            }
            12 => {
                let tokens: BTreeSet<_> =
                    head.retired.iter().skip(usize::from(flag)).map(|r| r.entry.token.clone()).collect();
                let attention = Attention { reason: "why".into(), since: now };
                let set = store.set_attention(sync, 3 + u64::from(n == 0), flag.then_some(&attention)).await;
                format!("{:?} {set:?}", store.clear_retired(sync, &tokens).await)
            }
            13 | 14 => {
                let to = head.versions.keys().rev().nth(usize::from(flag)).copied().unwrap_or(1);
                let from = to.saturating_sub(1 + self.through);
                let mut merging = compaction(head, from, to, &format!("c{step}"));
                if n == 0 {
                    merging.active_run = Some(run_id("r9"));
                }
                if merging.merged.is_empty() {
                    return "nothing to merge".into();
                }
                format!("{:?}", store.compact(sync, &merging).await)
            }
            15 | 16 => {
                let active = head.active_run.as_ref().map_or(run.as_str(), |r| r.as_str());
                let put = store.put_old_list(sync, &old_list(active, Named::AskedFor(format!("l{n}")))).await;
                let Some(old) = head.lists.old.first() else { return format!("{put:?}") };
                let failed = OldList { failures: old.failures + 1, ..old.clone() };
                format!("{put:?} {:?}", store.replace_old_list(sync, old, flag.then_some(&failed)).await)
            }
            _ => {
                let r1 = run_id("r1");
                let claimed = store.claim(sync, &r1, 0, &worker, now, now.plus(15)).await;
                let released = Call { last_error: Some(format!("e{n}")), ..call("r1", 0) };
                let given = match n {
                    0..=2 => store.release(sync, &released, &worker, flag).await,
                    3 => store.keep(sync, &released, &worker, flag).await,
                    4 => return format!("{claimed:?}"),
                    _ if step < 150 => return format!("{claimed:?}"),
                    _ => store.settle(sync, &r1, 0, &worker, &outcome([(1, Outcome::Unknown.into())])).await,
                };
                format!("{claimed:?} {given:?}")
            }
        }
    }
}
