//! Rows as audience members.

use driftless_config::destination::{GoogleAccount, GoogleEncoding};
use driftless_model::{Millis, Operation};
use serde_json::{Map, Value, json};

use super::DataManager;
use crate::{OutRow, digest, outcomes::Outcomes};

/// Members, and the row that each is of.
#[derive(Default)]
pub(super) struct Members {
    pub(super) members: Vec<Value>,
    pub(super) rows: Vec<usize>,
}

impl DataManager {
    /// The members of the rows that can be sent; the others are rejected. A removal names each identifier as a member of its own:
    /// whoever was ingested with one of them must go, also where a record has had several (DL-4).
    pub(super) fn members(&self, operation: Operation, rows: &[OutRow], outcomes: &mut Outcomes) -> Members {
        let mut all = Members::default();
        for (index, row) in rows.iter().enumerate() {
            let found = if operation == Operation::Remove { self.removals(row) } else { self.person(row) };
            match found {
                Ok(members) => {
                    for identifiers in members {
                        all.members.push(json!({ "userData": { "userIdentifiers": identifiers } }));
                        all.rows.push(index);
                    }
                }
                Err(reason) => outcomes.reject(index, reason),
            }
        }
        all
    }

    fn person(&self, row: &OutRow) -> Result<Vec<Vec<Value>>, String> {
        let text = |field: &str| row.fields.get(field).and_then(Value::as_str).filter(|value| !value.is_empty());
        let fields = &self.config.identifiers;
        let mut identifiers = Vec::new();
        if let Some(value) = text(&fields.email) {
            identifiers.push(json!({ "emailAddress": self.digest("email", value)? }));
        }
        if let Some(value) = text(&fields.phone) {
            identifiers.push(json!({ "phoneNumber": self.digest("phone", value)? }));
        }
        if let Some(address) = &fields.address {
            let parts = [&address.given_name, &address.family_name, &address.region_code, &address.postal_code]
                .map(|f| text(f));
            if let [Some(given), Some(family), Some(region), Some(postal)] = parts {
                identifiers.push(json!({ "address": {
                    "givenName": self.digest("given_name", given)?,
                    "familyName": self.digest("family_name", family)?,
                    "regionCode": region,
                    "postalCode": postal,
                }}));
            }
        }
        if identifiers.is_empty() { Err("no identifier has a value".into()) } else { Ok(vec![identifiers]) }
    }

    fn removals(&self, row: &OutRow) -> Result<Vec<Vec<Value>>, String> {
        let fields = &self.config.identifiers;
        let mut members = Vec::new();
        for identifier in &row.identifiers {
            let name = match identifier.field.as_str() {
                field if field == fields.email => "emailAddress",
                field if field == fields.phone => "phoneNumber",
                _ => continue,
            };
            let mut of = Map::new();
            of.insert(name.to_owned(), Value::from(self.digest(&identifier.field, &identifier.value)?));
            members.push(vec![Value::Object(of)]);
        }
        if members.is_empty() { Err("no identifier is one that people are matched by".into()) } else { Ok(members) }
    }

    /// Whoever puts a plain value where a digest belongs must not have it sent.
    fn digest<'a>(&self, name: &str, value: &'a str) -> Result<&'a str, String> {
        let (is_one, form) = match self.config.encoding {
            GoogleEncoding::Hex => (digest::is_hex(value), "hex"),
            GoogleEncoding::Base64 => (digest::is_base64(value), "Base64"),
        };
        if is_one { Ok(value) } else { Err(format!("{name} is not a SHA-256 digest in {form}")) }
    }

    /// The body of an ingestion, or of a removal.
    pub(super) fn body(&self, operation: Operation, members: Vec<Value>) -> Value {
        let mut body = json!({
            "destinations": self.destinations(),
            "audienceMembers": members,
            "encoding": self.config.encoding.as_str(),
        });
        if operation != Operation::Remove {
            let consent = self.config.consent;
            body["consent"] = json!({
                "adUserData": consent.ad_user_data.as_str(),
                "adPersonalization": consent.ad_personalization.as_str(),
            });
            body["termsOfService"] = json!({ "customerMatchTermsOfServiceStatus": "ACCEPTED" });
        }
        body
    }

    /// The body of a removal of all who were last added before an instant.
    pub(super) fn clearing(&self, before: Millis) -> Value {
        json!({ "destinations": self.destinations(), "removeAsOfTime": rfc3339(before) })
    }

    fn destinations(&self) -> Value {
        let account = |a: &GoogleAccount| json!({ "accountType": a.product.as_str(), "accountId": a.id });
        let mut destination =
            json!({ "operatingAccount": account(&self.config.account), "productDestinationId": self.list });
        if let Some(login) = &self.config.login_account {
            destination["loginAccount"] = account(login);
        }
        json!([destination])
    }
}

/// An instant as the API writes it, such as `2026-07-30T12:00:00.250Z`.
fn rfc3339(at: Millis) -> String {
    let (seconds, millis) = (at.0.div_euclid(1_000), at.0.rem_euclid(1_000));
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 1970 to a date, with the year starting in March, so that the leap day is its last.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_as_the_api_reads_it() {
        assert_eq!(rfc3339(Millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Millis(784_111_777_250)), "1994-11-06T08:49:37.250Z");
        assert_eq!(rfc3339(Millis(1_709_208_000_000)), "2024-02-29T12:00:00.000Z");
    }
}
