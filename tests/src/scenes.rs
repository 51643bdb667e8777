//! Short sequences that chance alone comes to too seldom, each with people and times drawn at random: what the rules of the
//! protocol are about needs several steps in one order. A scene leaves everything as it is then; the history goes on.

use driftless_model::Identifier;
use driftless_testkit::{Random, When};

use crate::dataset::{People, person};
use crate::functions::{INGEST, JANITOR, PLANNER, TO_CRM};
use crate::list::Mood;
use crate::task::TaskId;
use crate::world::World;

/// A snapshot of people like those before, or of other ones.
fn people(random: &mut Random) -> People {
    (0..6).filter_map(|n| person(n, random.next())).collect()
}

/// Uploads a snapshot and takes it up.
fn next_snapshot(w: &mut World, random: &mut Random) -> People {
    let people = people(random);
    w.upload(people.clone(), random.percent(20));
    w.ingest();
    people
}

/// A worker that has received a call that is queued.
fn worker(w: &mut World, random: &mut Random) -> Option<TaskId> {
    let visible = w.queue.visible(TO_CRM);
    let call = random.pick(&visible)?.clone();
    w.receive(TO_CRM, &call)
}

/// Plays one of the scenes. Returns the people of the newest snapshot if it uploaded one.
pub(crate) fn play(w: &mut World, random: &mut Random) -> Option<People> {
    match random.below(5) {
        0 => Some(deaf_and_overtaken(w, random)),
        1 => refused_after_a_lost_answer(w, random),
        2 => Some(removals_refused(w, random)),
        3 => Some(old_configuration_finishes_late(w, random)),
        _ => lingers_while_the_run_is_closed(w, random),
    }
}

/// Rules 3 and 10: requests arrive, no answer does, the run parks and is overtaken.
fn deaf_and_overtaken(w: &mut World, random: &mut Random) -> People {
    w.ghosts.note("-- scene: no answers, then a newer snapshot");
    let sync = random.pick(w.syncs()).cloned().unwrap_or_else(|| w.sync());
    next_snapshot(w, random);
    w.tick(&sync);
    w.work_off(&[PLANNER]);
    let lost = 2 + random.below(6);
    w.remote.script(vec![Mood::LosesAnswer; lost]);
    w.deliver();
    let people = next_snapshot(w, random);
    w.sweep();
    w.pass(185_000);
    w.sweep();
    people
}

/// Rule 4: a request is applied, its worker dies, and the next attempt is refused, or its record is erased.
fn refused_after_a_lost_answer(w: &mut World, random: &mut Random) -> Option<People> {
    w.ghosts.note("-- scene: refused after an attempt without an answer");
    let sync = random.pick(w.syncs()).cloned().unwrap_or_else(|| w.sync());
    let people = next_snapshot(w, random);
    w.tick(&sync);
    w.work_off(&[PLANNER]);
    let worker = worker(w, random)?;
    w.remote.script([Mood::LosesAnswer]);
    if w.run_until(worker, "request", When::After) {
        w.kill(worker);
    }
    if random.percent(50) {
        for p in &people {
            w.remote.refuse(Identifier::new("email", p.email.clone()));
        }
    } else if let Some(p) = random.pick(&people) {
        let erasing = w.erase(&p.id);
        w.finish(erasing);
    }
    w.pass(185_000);
    w.deliver();
    Some(people)
}

/// Rule 5: what replaces is delivered, what it replaces is not removed.
fn removals_refused(w: &mut World, random: &mut Random) -> People {
    w.ghosts.note("-- scene: the next request is refused row by row");
    let sync = random.pick(w.syncs()).cloned().unwrap_or_else(|| w.sync());
    let people = next_snapshot(w, random);
    w.tick(&sync);
    w.work_off(&[PLANNER]);
    w.remote.script([Mood::RejectsAll]);
    w.deliver();
    w.sweep();
    w.deliver();
    people
}

/// Rule 14: an ingest has read everything under one configuration when the next one is applied and taken up.
fn old_configuration_finishes_late(w: &mut World, random: &mut Random) -> People {
    w.ghosts.note("-- scene: a new configuration overtakes an ingest");
    let sync = random.pick(w.syncs()).cloned().unwrap_or_else(|| w.sync());
    let people = people(random);
    let announcement = w.upload(people.clone(), false);
    let slow = w.invoke(INGEST, announcement, None);
    w.run_until(slow, if random.percent(50) { "tombstones" } else { "put_items" }, When::After);
    w.reconfigure(&sync);
    w.ingest();
    people
}

/// Rule 16: a worker has claimed its call and is about to send when its run is closed, and what follows is planned.
fn lingers_while_the_run_is_closed(w: &mut World, random: &mut Random) -> Option<People> {
    w.ghosts.note("-- scene: a run is closed while a worker is about to send");
    let sync = random.pick(w.syncs()).cloned().unwrap_or_else(|| w.sync());
    next_snapshot(w, random);
    w.tick(&sync);
    w.work_off(&[PLANNER]);
    let worker = worker(w, random)?;
    w.run_until(worker, "swap_budget", When::After);
    w.pass(i64::try_from(w.setup.settings.deadline_s).unwrap_or(0).min(110) * 1000);
    w.sweep();
    w.sweep();
    let people = next_snapshot(w, random);
    w.tick(&sync);
    w.work_off(&[PLANNER, TO_CRM, JANITOR]);
    Some(people)
}
