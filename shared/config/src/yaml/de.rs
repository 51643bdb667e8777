use serde::{
    Deserializer,
    de::{self, DeserializeSeed, IntoDeserializer, Visitor},
    forward_to_deserialize_any,
};

use super::{
    Content, Entry, Node,
    fault::{Fault, What},
};
use crate::problem::{enumerate, nearest};

/// Reads a type from the parts of a node that are not refused. A fault refuses the innermost part it concerns.
pub(crate) struct Cursor<'n>(pub(crate) &'n Node);

/// Called wherever a part is read from within another: the first caller is around the part at fault.
fn around(part: &Node, segment: impl FnOnce() -> String, mut fault: Fault) -> Fault {
    if fault.is_unplaced() {
        blame(part, &mut fault);
    }
    fault.below(segment);
    fault
}

/// Places a fault in the part it concerns and refuses that part. A part that lacks what was refused in it may complain
/// for no other reason; that is no news.
pub(crate) fn blame(part: &Node, fault: &mut Fault) {
    let refused = || part.entries().iter().filter(|e| e.value.refused.get());
    let follows = match fault.what() {
        What::UnknownKey { key, .. } => {
            // Out of a buffer of serde's (a tagged enum, a flattened struct) a key is blamed on the part around it.
            if let Some(entry) = find(part, key) {
                entry.value.refused.set(true);
                fault.place(entry.at);
                return;
            }
            false
        }
        // Left out because of its own fault, or misspelt.
        What::Missing { key } => refused().any(|e| e.key == *key || nearest(&e.key, [*key]).is_some()),
        What::UnknownWord { .. } => false,
        What::Wrong { .. } => refused().next().is_some(),
    };
    if follows {
        fault.follows();
    }
    part.refused.set(true);
    fault.place(part.at);
}

/// The first entry with this key, in or below a node, that is not refused.
fn find<'n>(node: &'n Node, key: &str) -> Option<&'n Entry> {
    let live = || node.entries().iter().filter(|e| !e.value.refused.get());
    live().find(|e| e.key == key).or_else(|| live().find_map(|e| find(&e.value, key))).or_else(|| match &node.content {
        Content::List(list) => list.iter().filter(|n| !n.refused.get()).find_map(|n| find(n, key)),
        _ => None,
    })
}

impl<'n> Deserializer<'n> for Cursor<'n> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.content {
            Content::Null => visitor.visit_unit(),
            Content::Bool(value) => visitor.visit_bool(*value),
            Content::Integer(value) => visitor.visit_i64(*value),
            Content::Large(value) => visitor.visit_u64(*value),
            Content::Float(value) => visitor.visit_f64(*value),
            Content::Text(value) => visitor.visit_borrowed_str(value),
            Content::List(list) => visitor.visit_seq(Elements(list.iter().enumerate())),
            Content::Map(entries) => visitor.visit_map(Entries { entries: entries.iter(), current: None }),
        }
    }

    fn deserialize_option<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.content {
            Content::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'n>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// The fields of a struct have names here: a list is not taken for one.
    fn deserialize_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0.content {
            Content::List(_) => Err(de::Error::invalid_type(de::Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'n>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.content {
            Content::Text(word) => visitor.visit_enum(word.as_str().into_deserializer()),
            Content::Map(entries) => {
                let mut live = entries.iter().filter(|e| !e.value.refused.get());
                match (live.next(), live.next()) {
                    (Some(entry), None) => visitor.visit_enum(Variant(entry)),
                    (Some(_), Some(_)) => Err(Fault::wrong(
                        format!("only one of {} may stand here", enumerate(entries.iter().map(|e| e.key.as_str()))),
                        "keep one of them".to_owned(),
                    )),
                    (None, _) => Err(Fault::wrong(
                        "this map is empty".to_owned(),
                        format!("write one of {}", enumerate(variants.iter().copied())),
                    )),
                }
            }
            _ => Err(Fault::wrong(
                format!("found {} where a word is expected", self.0.kind()),
                format!("write one of {}", enumerate(variants.iter().copied())),
            )),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        <V: Visitor<'n>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier
    }
}

struct Elements<'n>(core::iter::Enumerate<core::slice::Iter<'n, Node>>);

impl<'n> de::SeqAccess<'n> for Elements<'n> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'n>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some((i, node)) = self.0.find(|(_, node)| !node.refused.get()) else {
            return Ok(None);
        };
        seed.deserialize(Cursor(node)).map(Some).map_err(|e| around(node, || format!("[{i}]"), e))
    }
}

struct Entries<'n> {
    entries: core::slice::Iter<'n, Entry>,
    current: Option<&'n Entry>,
}

impl<'n> de::MapAccess<'n> for Entries<'n> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'n>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some(entry) = self.entries.find(|e| !e.value.refused.get()) else {
            return Ok(None);
        };
        self.current = Some(entry);
        seed.deserialize(entry.key.as_str().into_deserializer()).map(Some).map_err(|mut fault: Fault| {
            if fault.is_unplaced() {
                entry.value.refused.set(true);
                fault.place(entry.at);
            }
            fault
        })
    }

    fn next_value_seed<S: DeserializeSeed<'n>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let Some(entry) = self.current.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Cursor(&entry.value)).map_err(|e| around(&entry.value, || entry.key.clone(), e))
    }
}

/// A map of one entry, read as a variant and its content.
struct Variant<'n>(&'n Entry);

impl<'n> de::EnumAccess<'n> for Variant<'n> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'n>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        let entry = self.0;
        match seed.deserialize(entry.key.as_str().into_deserializer()) {
            Ok(variant) => Ok((variant, self)),
            Err(fault) => {
                let fault: Fault = fault;
                let mut fault = fault.into_unknown_key();
                entry.value.refused.set(true);
                fault.place(entry.at);
                Err(fault)
            }
        }
    }
}

impl<'n> de::VariantAccess<'n> for Variant<'n> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        let mut fault = Fault::wrong(
            "nothing can be set here".to_owned(),
            format!("write the word `{}` without a colon", self.0.key),
        );
        self.0.value.refused.set(true);
        fault.place(self.0.at);
        Err(fault)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'n>>(self, seed: S) -> Result<S::Value, Fault> {
        let entry = self.0;
        seed.deserialize(Cursor(&entry.value)).map_err(|e| around(&entry.value, || entry.key.clone(), e))
    }

    fn tuple_variant<V: Visitor<'n>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        let entry = self.0;
        Cursor(&entry.value).deserialize_any(visitor).map_err(|e| around(&entry.value, || entry.key.clone(), e))
    }

    fn struct_variant<V: Visitor<'n>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        let entry = self.0;
        Cursor(&entry.value).deserialize_any(visitor).map_err(|e| around(&entry.value, || entry.key.clone(), e))
    }
}
