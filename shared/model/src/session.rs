use serde::{Deserialize, Serialize};

/// The place of a call in a session that replaces a whole list: parts that belong together and must not be mixed with those
/// of another session. The list becomes what the parts of one session say.
///
/// The planner gives the first part a phase of its own, and the last one too; so a connector sees the first before any other
/// and the last after all of them. A part may come twice, with the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Names the session at the destination: derived from the run, the same for every try, below 2^63.
    pub number: u64,
    /// Which part this is, from 1.
    pub part: u32,
    /// How many parts there are.
    pub parts: u32,
    /// Records of all parts together.
    pub records: u64,
}

impl Session {
    /// True for the part that opens the session.
    #[must_use]
    pub const fn first(&self) -> bool {
        self.part == 1
    }

    /// True for the part that closes the session. A session of one part is opened and closed by it.
    #[must_use]
    pub const fn last(&self) -> bool {
        self.part == self.parts
    }
}
