//! Stubs of the vendors that the shipped recipes speak to, with each one's rules: what it takes, how it refuses single records, how
//! it says that it is too much. What a vendor has not confirmed is said in its recipe.

pub mod braze;
pub mod iterable;
pub mod linkedin;
pub mod mailchimp;
pub mod tiktok;

/// The list that the stubs have.
pub const LIST: &str = "9e67587f52";

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
