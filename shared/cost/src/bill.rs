use driftless_model::Usage;

use crate::{Item, Money, PriceTable};

/// Megabyte-milliseconds of a GB-second: Lambda's GB has 1,024 MB.
const COMPUTE_PARTS: u64 = 1_024 * 1_000;

/// One priced figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub item: Item,
    /// How much of it; of [`Item::LambdaGbSecond`] in thousandths.
    pub quantity: u64,
    /// What it costs.
    pub cost: Money,
}

/// What a usage costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// One line for each priced figure, those that are zero included.
    pub lines: Vec<Line>,
    /// Their sum.
    pub total: Money,
}

impl PriceTable {
    /// Prices what was used. Rows and bytes are read within the region and have no price of their own.
    #[must_use]
    pub fn bill(&self, usage: &Usage) -> Bill {
        let line = |item, quantity| Line { item, quantity, cost: self.cost(item, quantity, 1) };
        let lines = vec![
            line(Item::LambdaRequest, usage.invocations),
            Line {
                item: Item::LambdaGbSecond,
                quantity: usage.compute / (COMPUTE_PARTS / 1_000),
                cost: self.cost(Item::LambdaGbSecond, usage.compute, COMPUTE_PARTS),
            },
            line(Item::TableReadUnit, usage.read_units),
            line(Item::TableWriteUnit, usage.write_units),
            line(Item::ObjectGet, usage.gets),
            line(Item::ObjectPut, usage.puts),
            line(Item::QueueRequest, usage.queue_requests),
        ];
        let total = lines.iter().map(|l| l.cost).sum();
        Bill { lines, total }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_priced_figure_has_its_line_and_the_total_is_their_sum() {
        let usage = Usage {
            invocations: 10,
            compute: 400 * 1_024_000,
            rows: 4_000_000,
            bytes: 160_000_000,
            read_units: 60_000,
            write_units: 86_600,
            gets: 900,
            puts: 20,
            messages: 90,
            queue_requests: 200,
        };
        let bill = PriceTable::default().bill(&usage);
        let nanos: Vec<u64> = bill.lines.iter().map(|l| l.cost.0).collect();
        assert_eq!(nanos, [2_000, 5_333_360, 7_500_000, 54_125_000, 360_000, 100_000, 80_000]);
        assert_eq!(bill.total, Money(67_500_360));
        assert_eq!(bill.lines[1].quantity, 400_000, "thousandths of a GB-second");
    }

    proptest! {
        #[test]
        fn a_bill_of_the_whole_is_that_of_its_shares_to_a_nano_dollar_a_line(
            figures in prop::array::uniform10(0u64..1 << 40), n in 1usize..9,
        ) {
            let prices = PriceTable::default();
            let whole = prices.bill(&Usage::of(figures)).total.0;
            let parts: u64 = Usage::of(figures).shares(n).map(|s| prices.bill(&s).total.0).sum();
            prop_assert!(whole.abs_diff(parts) <= 7 * (n as u64 + 1));
        }
    }
}
