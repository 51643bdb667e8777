//! Rate budgets: one item a destination.

use aws_sdk_dynamodb::types::ReturnValue;
use driftless_model::{Advance, Advanced, Budget, DestinationId};

use super::DynamoDeltalog;
use super::attribute::{Attributes, Reader, n, s};
use super::failure::Operation;
use super::key;
use super::table::{Change, Write};
use crate::Result;
use crate::head::Swap;

const PUT: Operation = Operation::small("PutItem");
const UPDATE: Operation = Operation::small("UpdateItem");

fn decode(item: &Attributes) -> Result<Budget> {
    let reader = Reader::new(item, "a rate budget");
    Ok(Budget {
        slot: reader.number("slot")?,
        count: reader.number("count")?,
        epoch: reader.number("epoch")?,
        terms: reader.text("terms")?.to_owned(),
    })
}

impl DynamoDeltalog {
    pub(super) async fn read_budget(&self, destination: &DestinationId) -> Result<Option<Budget>> {
        self.table.get(&key::rate(destination)).await?.as_ref().map(decode).transpose()
    }

    /// One write unit, and none that another lease can make fail: only the terms, an idle time or a used-up window do. Two comparisons
    /// and no `BETWEEN`, which is an invalid request, and not a condition that fails, where its bounds are the wrong way round.
    pub(super) async fn move_budget(&self, destination: &DestinationId, advance: &Advance) -> Result<Advanced> {
        let change = Change::new(
            "ADD #slot :by, #count :slots",
            "#epoch = :epoch AND #slot >= :not_before AND #slot <= :not_after AND #count <= :at_most",
            [
                (":by", n(advance.by)),
                (":slots", n(advance.slots)),
                (":epoch", n(advance.epoch)),
                (":not_before", n(advance.not_before)),
                (":not_after", n(advance.not_after)),
                (":at_most", n(advance.at_most)),
            ],
        );
        Ok(match self.table.update(UPDATE, &key::rate(destination), change, ReturnValue::UpdatedOld).await? {
            Write::Done(old) => Advanced::Leased(Reader::new(&old, "a rate budget").number("slot")?),
            Write::Refused(there) => Advanced::Refused(there.as_ref().map(decode).transpose()?),
        })
    }

    pub(super) async fn write_budget(
        &self,
        destination: &DestinationId,
        from: Option<&Budget>,
        to: &Budget,
    ) -> Result<Swap> {
        let item = key::rate(destination).item([
            ("slot", n(to.slot)),
            ("count", n(to.count)),
            ("epoch", n(to.epoch)),
            ("terms", s(&to.terms)),
        ]);
        let written = match from {
            None => self.table.put_if_absent(PUT, item).await?,
            Some(from) => {
                let condition = "#slot = :slot AND #count = :count AND #epoch = :epoch";
                let values = [(":slot", from.slot), (":count", from.count), (":epoch", from.epoch)];
                let values = values.map(|(name, value)| (name.to_owned(), n(value)));
                self.table.put(PUT, item, condition, values.into()).await?
            }
        };
        Ok(match written {
            Write::Refused(_) => Swap::Lost,
            Write::Done(_) => Swap::Done,
        })
    }
}
