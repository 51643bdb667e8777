//! What a destination matches people by, in the form it wants: steps, and versioned recipes per vendor.
//!
//! The same person has another hash at Meta, Google, TikTok and LinkedIn, because each hashes another text. A [`Recipe`] is one
//! vendor's rule for one kind of value, under a name that never changes its meaning: `meta.phone@1`. It implies the hash that the
//! vendor wants, finds out whether a value is a digest already ([`Digest`]), and can show each step ([`Rule::trace`]).
//!
//! * Pure: text in, text out. No clock, no environment, no I/O.
//! * No error carries a value.
//! * What a published version answers never changes; a changed rule is a new version, and a sync that names it sends its list once more.
//!
//! What does not belong here: which column a value comes from (`driftless-config`), and the attribute hash
//! (`driftless-snapshot`).

mod birth;
mod digest;
mod email;
mod phone;
mod place;
mod recipe;
mod refusal;
mod rule;
mod setting;
mod step;
mod vendor;

pub use digest::{Digest, VendorHash};
pub use phone::{Region, UnknownRegion};
pub use recipe::{Recipe, Spec, UnknownRecipe};
pub use refusal::Refusal;
pub use rule::{Ending, Normalized, Rule, Trace, Traced};
pub use setting::Normalize;
pub use step::Step;
