/// Somebody of whom a kind's row maker makes a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The record key.
    pub key: String,
    /// Some have capitals: destinations that fold them must be matched all the same.
    pub email: String,
    /// In E.164.
    pub phone: String,
    /// A field that changes.
    pub first_name: String,
}

impl Person {
    /// The person of a number; of two numbers nothing is the same but for the capitals.
    #[must_use]
    pub fn numbered(number: u32) -> Self {
        Self {
            key: format!("c{number}"),
            email: Self::email(number),
            phone: format!("+49151{number:07}"),
            first_name: format!("N{number}"),
        }
    }

    /// The e-mail address of a number.
    #[must_use]
    pub fn email(number: u32) -> String {
        if number % 3 == 2 { format!("P{number}@Example.com") } else { format!("p{number}@example.com") }
    }
}
