//! Values as every part of Driftless sees them, whatever writer, encoding or memory layout produced them.
//!
//! A [`Scalar`] is canonical: equal values are equal scalars, so that their encoding (what is hashed), their text (what
//! keys and `normalize` see) and their JSON (what is sent) agree. `docs/hash-recipe.md` states the rules; a change of
//! what is hashed is a new recipe version.

mod calendar;
mod column;
mod number;
mod rank;
mod scalar;
mod visit;

pub(crate) use column::{Column, is_scalar, is_supported};
pub(crate) use rank::Rank;
pub(crate) use scalar::{Scalar, Words, bytes_encoding, tag, text_encoding};
pub(crate) use visit::{Visitor, visit};
