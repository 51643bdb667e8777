//! Who is a customer, generation by generation.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::index;
use rand::{Rng, SeedableRng};

/// Customers by number, with how often each has changed.
pub(crate) type Population = BTreeMap<u64, u32>;

/// The customers of a generation: `rows` at first, then `generation` rounds in each of which `churn` of them leave, change or
/// are new: three tenths leave, three tenths join, four tenths change. So their number stays the same, and later generations
/// build on the earlier ones.
pub(crate) fn population(rows: u64, churn: f64, seed: u64, generation: u32) -> Population {
    let mut people: Population = (1..=rows).map(|id| (id, 0)).collect();
    let mut next = rows + 1;
    for round in 1..=u64::from(generation) {
        let mut rng = StdRng::seed_from_u64(seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let moved = churned(people.len(), churn, &mut rng);
        let leave = moved * 3 / 10;
        let ids: Vec<u64> = people.keys().copied().collect();
        // The first of the chosen leave, the others change; nobody does both.
        for (at, chosen) in index::sample(&mut rng, ids.len(), moved - leave).into_iter().enumerate() {
            let Some(id) = ids.get(chosen) else { continue };
            if at < leave {
                people.remove(id);
            } else if let Some(changes) = people.get_mut(id) {
                *changes += 1;
            }
        }
        for _ in 0..leave {
            people.insert(next, 0);
            next += 1;
        }
    }
    people
}

/// How many of `rows` a round moves: the share, and the fraction of one more by chance.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a share of a count
fn churned(rows: usize, churn: f64, rng: &mut StdRng) -> usize {
    let exact = rows as f64 * churn;
    let more = rng.random_bool(exact.fract().clamp(0.0, 1.0));
    exact.trunc() as usize + usize::from(more)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_people_and_another_seed_others() {
        assert_eq!(population(500, 0.1, 7, 3), population(500, 0.1, 7, 3));
        assert_ne!(population(500, 0.1, 7, 3), population(500, 0.1, 8, 3));
    }

    #[test]
    fn a_generation_differs_from_the_one_before_by_the_churn() {
        let (before, after) = (population(1000, 0.1, 7, 2), population(1000, 0.1, 7, 3));
        let ids = |p: &Population| p.keys().copied().collect::<BTreeSet<_>>();
        assert_eq!(ids(&before).difference(&ids(&after)).count(), 30);
        assert_eq!(ids(&after).difference(&ids(&before)).count(), 30);
        let changed = after.iter().filter(|(id, n)| before.get(id).is_some_and(|b| b != *n)).count();
        assert_eq!(changed, 40);
        assert_eq!(after.len(), 1000);
        assert_eq!(population(1000, 0.0, 7, 5), population(1000, 0.0, 7, 0));
    }
}
