//! A random history from a seed, and what must hold at its end.

use std::collections::BTreeMap;

use driftless_deltalog::Deltalog;
use driftless_model::{Identifier, IdentifierSet};
use driftless_testkit::{Random, Visits};

use crate::at_once;
use crate::dataset::{Mapping, People, Replaces, Settings, person, select};
use crate::ghosts::shown;
use crate::scenes;
use crate::store::Forgotten;
use crate::world::{Setup, World};

/// How a history ended.
pub struct Ended {
    /// The first invariant that did not hold.
    pub violation: Option<String>,
    /// What happened, line by line.
    pub trace: Vec<String>,
    /// Where it passed, failed and died.
    pub visits: Visits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Step,
    Run,
    Upload,
    Receive,
    Duplicate,
    Lose,
    Tick,
    Sweep,
    Kill,
    Jump,
    Down,
    Up,
    Refuse,
    Accept,
    Approve,
    Release,
    Expire,
    Erase,
    Reconfigure,
    Scene,
}

const WEIGHTS: [(Act, usize); 20] = [
    (Act::Step, 16),
    (Act::Run, 16),
    (Act::Upload, 6),
    (Act::Receive, 44),
    (Act::Duplicate, 3),
    (Act::Lose, 1),
    (Act::Tick, 6),
    (Act::Sweep, 7),
    (Act::Kill, 2),
    (Act::Jump, 3),
    (Act::Down, 1),
    (Act::Up, 2),
    (Act::Refuse, 2),
    (Act::Accept, 1),
    (Act::Approve, 2),
    (Act::Release, 1),
    (Act::Expire, 1),
    (Act::Erase, 2),
    (Act::Reconfigure, 1),
    (Act::Scene, 1),
];

fn act(random: &mut Random) -> Act {
    let mut at = random.below(WEIGHTS.iter().map(|(_, w)| w).sum());
    for (act, weight) in WEIGHTS {
        if at < weight {
            return act;
        }
        at -= weight;
    }
    Act::Step
}

/// Runs the history of a seed; a hasty one keeps nothing for a grace period.
#[must_use]
pub fn run(seed: u64, forgotten: Option<Forgotten>, hasty: bool) -> Ended {
    let mut random = Random::new(seed);
    // Drawn apart, so that the other seeds stay what they were.
    let replaces = match Random::new(seed ^ 0x5eed).below(12) {
        0 => Some(Replaces::InSession),
        1 => Some(Replaces::ByClearing),
        2 | 3 => Some(Replaces::ByNewList),
        _ => None,
    };
    // Somebody else changes the list, and it is compared: by hand, or before every run.
    let mut meddler = Random::new(seed ^ 0xd21f7);
    let meddles = replaces.is_none() && meddler.percent(40);
    let at_most = *Random::new(seed ^ 0x9a27).pick(&[usize::MAX, 1, 2, 3, 4]).unwrap_or(&2);
    let settings = Settings {
        replaces,
        compares: meddles && meddler.percent(30),
        deadline_s: *random.pick(&[86_400, 86_400, 400, 100]).unwrap_or(&400),
        inspect: random.percent(30),
        ..Settings::default()
    };
    let setup = Setup {
        seed,
        syncs: 1 + usize::from(random.percent(25)),
        settings,
        fold_percent: *random.pick(&[10, 10_000]).unwrap_or(&10),
        bulk: *random.pick(&[u64::MAX, 0, 2, 4, 6]).unwrap_or(&2),
        at_most,
        chain: *random.pick(&[1, 2, 3, 50]).unwrap_or(&2),
        all_or_nothing: random.percent(40) && replaces.is_none(),
        updates: random.percent(30),
        jobs: seed % 3 == 2,
        grace_ms: if hasty { 0 } else { Setup::default().grace_ms },
        forgotten,
    };
    let mut w = World::new(setup);
    w.faults.set(true);
    w.remote.set_random(Some(random.fork()));
    let stubborn = random.percent(30);
    w.remote.set_stubborn(stubborn);
    let acts = *random.pick(&[60, 120, 240]).unwrap_or(&120);
    let mut previous: Option<People> = None;
    let mut newest: Option<People> = None;
    for _ in 0..acts {
        let act = act(&mut random);
        one(&mut w, act, &mut random, &mut previous, &mut newest);
        if meddles {
            meddle(&mut w, &mut meddler);
        }
        if replaces == Some(Replaces::ByNewList) && meddler.percent(5) {
            // A list takes the place of another mostly when nothing else goes on.
            let sync = meddler.pick(w.syncs()).cloned().unwrap_or_else(|| w.sync());
            w.tick(&sync);
            w.work_off(&World::QUEUES);
        }
        if w.ghosts.violation().is_some() {
            break;
        }
    }
    if stubborn || random.percent(50) {
        w.remote.accept_all();
    }
    if meddles && w.ghosts.violation().is_none() {
        // What others did last is found by a last look.
        quiesce(&mut w);
        for sync in w.syncs().to_vec() {
            w.compare(&sync, false);
        }
    }
    end(&mut w);
    Ended { violation: w.ghosts.violation(), trace: w.ghosts.trace(), visits: w.visits.clone() }
}

/// Faults stop, and everything comes to its end: the list must be the selection then, and stay so.
pub fn end(w: &mut World) {
    if w.ghosts.violation().is_none() {
        quiesce(w);
    }
    if w.ghosts.violation().is_none() {
        check_end(w);
    }
}

/// Now and then somebody else changes a list, or a comparison is asked for.
fn meddle(w: &mut World, random: &mut Random) {
    let sync = random.pick(w.syncs()).cloned().unwrap_or_else(|| w.sync());
    match random.below(100) {
        0..=2 => w.meddle(&sync, random),
        3..=5 => w.compare(&sync, random.percent(20)),
        6..=8 => {
            // A list is mostly compared when nothing else goes on.
            w.work_off(&World::QUEUES);
            w.compare(&sync, random.percent(20));
            w.work_off(&World::QUEUES[..3]);
        }
        _ => {}
    }
}

fn one(w: &mut World, act: Act, random: &mut Random, previous: &mut Option<People>, newest: &mut Option<People>) {
    let sync = random.pick(w.syncs()).cloned().unwrap_or_else(|| w.sync());
    match act {
        Act::Step => {
            let steps = 1 + random.below(12);
            if let Some(id) = random.pick(&w.running()).copied() {
                for _ in 0..steps {
                    w.step(id);
                }
            }
        }
        Act::Run => {
            if let Some(id) = random.pick(&w.running()).copied() {
                let mut steps = 0;
                while steps < 600 && w.step(id) {
                    steps += 1;
                }
            }
        }
        Act::Upload => {
            let mut people: People = (0..6).filter_map(|n| person(n, random.next())).collect();
            if let (Some(before), 0..=4) = (&*newest, random.below(10)) {
                // Most snapshots are much like the last.
                let n = random.below(6);
                let other = person(n, random.next());
                people = before.iter().filter(|p| p.id != ["a", "b", "c", "d", "e", "f"][n]).cloned().collect();
                people.extend(other);
            } else if let (Some(before), 0) = (previous.as_ref(), random.below(4)) {
                people.clone_from(before);
            }
            *previous = newest.replace(people.clone());
            w.upload(people, random.percent(20));
        }
        Act::Receive => receive(w, random, 3),
        Act::Duplicate => {
            let received = w.received();
            if let (Some((url, body)), true) = (random.pick(&received), random.percent(60)) {
                w.invoke(url, body.clone(), None);
            } else if let Some(url) = random.pick(&World::QUEUES) {
                let all = w.queue.messages(url);
                if let Some(m) = random.pick(&all) {
                    w.queue.redeliver(url, &m.id);
                    w.receive(url, &m.id);
                }
            }
        }
        Act::Lose => {
            if let Some(url) = random.pick(&World::QUEUES) {
                let all = w.queue.messages(url);
                if let Some(m) = random.pick(&all) {
                    w.ghosts.note(format!("-- a message is lost: {:.80}", m.body));
                    w.queue.lose(url, &m.id);
                }
            }
        }
        Act::Tick => drop(w.tick(&sync)),
        Act::Sweep => w.ask_for_sweep(),
        Act::Kill => {
            if let Some(id) = random.pick(&w.running()).copied() {
                w.kill(id);
            }
        }
        Act::Jump => {
            let ms = *random.pick(&[5_000, 30_000, 65_000, 170_000, 400_000, 1_000_000]).unwrap_or(&5_000);
            w.ghosts.note(format!("-- {} s pass", ms / 1000));
            w.pass(ms);
        }
        Act::Down => {
            w.ghosts.note("-- down");
            w.remote.set_down(true);
        }
        Act::Up => w.remote.set_down(false),
        Act::Refuse => {
            if let Some(p) = person(random.below(6), random.next()) {
                w.ghosts.note(format!("-- refuses {}", p.email));
                w.remote.refuse(Identifier::new("email", p.email));
            }
        }
        Act::Accept => w.remote.accept_all(),
        Act::Approve => drop(w.approve(&sync)),
        Act::Release => drop(at_once(w.log.release_rejects(&sync, None))),
        Act::Expire => w.expire(),
        Act::Erase => drop(w.erase(["a", "b", "c", "d", "e", "f"][random.below(6)])),
        Act::Reconfigure => w.reconfigure(&sync),
        Act::Scene => {
            if let Some(people) = scenes::play(w, random) {
                *previous = newest.replace(people);
            }
        }
    }
}

/// Receives one of the visible messages, the newest more often than the oldest, and lets its function run a little.
fn receive(w: &mut World, random: &mut Random, window: usize) {
    let urls: Vec<&str> = World::QUEUES.into_iter().filter(|url| !w.queue.visible(url).is_empty()).collect();
    let Some(url) = random.pick(&urls).copied() else { return };
    let visible = w.queue.visible(url);
    let late = visible.len().saturating_sub(1 + random.below(window.min(visible.len())));
    if let Some(task) = visible.get(late).and_then(|id| w.receive(url, id)) {
        let steps = if random.percent(80) { 1000 } else { random.below(40) };
        for _ in 0..steps {
            if !w.step(task) {
                break;
            }
        }
    }
}

/// Faults stop; what is under way ends; everything that runs by itself runs until nothing changes any more.
fn quiesce(w: &mut World) {
    w.ghosts.note("== faults stop");
    w.faults.set(false);
    w.remote.set_random(None);
    w.remote.set_down(false);
    w.drain();
    let mut same = 0;
    for _ in 0..150 {
        let before = w.signature();
        for sync in w.syncs().to_vec() {
            while w.approve(&sync) {}
            w.tick(&sync);
        }
        w.repeat_erasures();
        w.ask_for_sweep();
        w.work_off(&World::QUEUES);
        w.pass(185_000);
        w.expire();
        if w.ghosts.violation().is_some() {
            return;
        }
        let active = w.syncs().iter().any(|s| w.head(s).is_some_and(|h| h.active_run.is_some()));
        same = if w.signature() == before && !active { same + 1 } else { 0 };
        if same == 5 {
            return;
        }
    }
    w.ghosts.violated("DL-1 never quiet");
}

/// The list is the selection (DL-1), and everything once more changes nothing (DL-6).
fn check_end(w: &mut World) {
    let Some(people) = w.ghosts.newest() else { return };
    for sync in w.syncs().to_vec() {
        if let Err(problem) = converged(w, &sync, &people) {
            w.ghosts.violated(problem);
            return;
        }
    }
    let before = w.signature();
    w.ghosts.note("== everything once more");
    for (url, body) in w.received() {
        w.send(&url, &body);
        w.send(&url, &body);
    }
    w.work_off(&World::QUEUES);
    if w.signature() != before && w.ghosts.violation().is_none() {
        let after = w.signature();
        w.ghosts.violated(format!("DL-6 replaying everything changed something:\n{before}\n{after}"));
    }
}

fn converged(w: &World, sync: &driftless_model::SyncId, people: &People) -> Result<(), String> {
    let entry = at_once(w.memory().sync(sync)).ok().flatten().ok_or("the sync is gone")?;
    let head = w.head(sync).ok_or(format!("DL-1 {sync} was never ingested"))?;
    let erased = at_once(w.memory().tombstones(&entry.dataset)).unwrap_or_default();
    let mapping = Mapping::of(entry.config.epoch);
    let (wanted, certain) = select(people, w.ghosts.is_consenting(sync), mapping, &erased);
    let rejects = at_once(w.memory().rejects(sync)).unwrap_or_default();
    let quarantined = |k, h| rejects.iter().any(|r| r.key_hash == k && r.attr_hash == h && r.attempts >= 2);
    let members = w.members(sync);
    let mut allowed = IdentifierSet::new();
    let a = {
        let state = driftless_state::SyncState::new(w.memory(), w.bucket(), &head);
        at_once(async { state.all_rows(&state.deltas().await?).await }).map_err(|e| format!("DL-1 {e}"))?
    };
    for (k, r) in &wanted {
        allowed.extend(r.identifiers.iter().cloned());
        if quarantined(*k, r.attr_hash) {
            allowed.extend(a.get(k).iter().flat_map(|row| row.identifiers.iter().cloned()));
            continue;
        }
        let missing = r.identifiers.iter().any(|i| members.get(i) != Some(&r.plan));
        if missing && certain {
            return Err(format!(
                "DL-1 {} should be {} in the list of {sync}, which has {members:?}",
                shown(&r.identifiers),
                r.plan
            ));
        }
    }
    let lists = w.remote.lists(sync);
    if lists != BTreeMap::from([(head.list().to_owned(), sync.to_string())]) {
        return Err(format!("DL-1 {sync} goes by {}, and there are the lists {lists:?}", head.list()));
    }
    let strays: IdentifierSet = members.into_keys().filter(|i| !allowed.contains(i)).collect();
    if !strays.is_empty() && certain {
        return Err(format!("DL-1 {} should not be in the list of {sync}", shown(&strays)));
    }
    Ok(())
}
