//! Reads YAML so that everything in it has a place, and reports all that is wrong with it at once.
//!
//! [`node`] turns the text into a tree with positions, within a budget. [`de`] is a serde deserializer over that tree; an
//! error marks the part that it came from. [`read`] repeats: what is marked is reported, left out, and the rest read again.

mod de;
mod fault;
mod node;
mod read;

use de::Cursor;
pub(crate) use node::{Content, Entry, Node, Position};
pub(crate) use read::{Located, Reading, parse, places, read};
