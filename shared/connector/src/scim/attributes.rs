use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::OutRow;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// Attributes that are lists of values with a type (RFC 7643 section 4.1.2).
const MULTI_VALUED: [&str; 7] =
    ["emails", "phoneNumbers", "ims", "photos", "entitlements", "roles", "x509Certificates"];

/// The attributes of a user that a row sets.
pub(super) struct Attributes<'a>(Vec<(Place<'a>, &'a Value)>);

/// Where an attribute stands in a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place<'a> {
    /// The extension's schema; none for the core.
    schema: Option<&'a str>,
    name: &'a str,
    part: Part<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    /// The attribute itself.
    Whole,
    /// A sub-attribute.
    Sub(&'a str),
    /// One value of a list, with its type if one is given.
    Value(Option<&'a str>),
}

impl<'a> Attributes<'a> {
    /// The attributes of a row: by the map, or each field under its own name.
    pub(super) fn of(row: &'a OutRow, map: &'a BTreeMap<String, String>) -> Self {
        let pairs: Vec<(&str, &Value)> = if map.is_empty() {
            row.fields.iter().map(|(field, value)| (field.as_str(), value)).collect()
        } else {
            map.iter().filter_map(|(path, field)| Some((path.as_str(), row.fields.get(field)?))).collect()
        };
        Self(pairs.into_iter().map(|(path, value)| (Place::parse(path), value)).collect())
    }

    /// A new user. Null fields are left out.
    pub(super) fn user(&self, active: bool) -> Value {
        let mut schemas = vec![USER];
        let mut user = Map::new();
        for (place, value) in self.0.iter().filter(|(_, value)| !value.is_null()) {
            let target = match place.schema {
                None => &mut user,
                Some(schema) => {
                    if !schemas.contains(&schema) {
                        schemas.push(schema);
                    }
                    object(user.entry(schema))
                }
            };
            match place.part {
                Part::Whole => {
                    target.insert(place.name.to_owned(), (*value).clone());
                }
                Part::Sub(sub) => {
                    object(target.entry(place.name)).insert(sub.to_owned(), (*value).clone());
                }
                Part::Value(kind) => add_value(target.entry(place.name).or_insert_with(|| json!([])), kind, value),
            }
        }
        if active {
            user.insert("active".into(), json!(true));
        }
        user.insert("schemas".into(), json!(schemas));
        Value::Object(user)
    }

    /// The operations that give a user these values. Null fields are taken out; lists are replaced as a whole. The attribute
    /// by which the user was found is left alone.
    pub(super) fn operations(&self, found_by: &str) -> Vec<Value> {
        let mut operations = Vec::new();
        let mut lists: BTreeMap<String, Value> = BTreeMap::new();
        for (place, value) in &self.0 {
            let path = place.path();
            match place.part {
                _ if path == found_by => {}
                Part::Value(kind) => {
                    let list = lists.entry(path).or_insert_with(|| json!([]));
                    if !value.is_null() {
                        add_value(list, kind, value);
                    }
                }
                _ if value.is_null() => operations.push(json!({ "op": "remove", "path": path })),
                _ => operations.push(json!({ "op": "replace", "path": path, "value": value })),
            }
        }
        operations.extend(lists.into_iter().map(|(path, list)| match list.as_array().is_some_and(Vec::is_empty) {
            true => json!({ "op": "remove", "path": path }),
            false => json!({ "op": "replace", "path": path, "value": list }),
        }));
        operations
    }
}

impl<'a> Place<'a> {
    fn parse(path: &'a str) -> Self {
        // The version in a schema's URN has a dot, so the schema is taken off before anything else.
        let (schema, path) = match path.strip_prefix("urn:").and_then(|_| path.rsplit_once(':')) {
            Some((USER, path)) => (None, path),
            Some((schema, path)) => (Some(schema), path),
            None => (None, path),
        };
        if let Some((name, kind)) = path.strip_suffix(']').and_then(|p| p.split_once('[')) {
            return Self { schema, name, part: Part::Value(Some(kind)) };
        }
        match path.split_once('.') {
            Some((name, sub)) => Self { schema, name, part: Part::Sub(sub) },
            None if schema.is_none() && MULTI_VALUED.contains(&path) => {
                Self { schema, name: path, part: Part::Value(None) }
            }
            None => Self { schema, name: path, part: Part::Whole },
        }
    }

    /// The attribute's path in a PATCH.
    fn path(&self) -> String {
        let schema = self.schema.map(|schema| format!("{schema}:")).unwrap_or_default();
        match self.part {
            Part::Sub(sub) => format!("{schema}{}.{sub}", self.name),
            Part::Whole | Part::Value(_) => format!("{schema}{}", self.name),
        }
    }
}

fn object(entry: serde_json::map::Entry<'_>) -> &mut Map<String, Value> {
    let value = entry.or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object above"),
    }
}

/// Adds a value to a list; the first is the primary one. What is a list or an object already is taken as it is.
fn add_value(list: &mut Value, kind: Option<&str>, value: &Value) {
    let Some(items) = list.as_array_mut() else { return };
    match value {
        Value::Array(values) => items.extend(values.iter().cloned()),
        Value::Object(_) => items.push(value.clone()),
        scalar => {
            let mut item = json!({ "value": scalar, "primary": items.is_empty() });
            if let (Some(kind), Some(map)) = (kind, item.as_object_mut()) {
                map.insert("type".into(), json!(kind));
            }
            items.push(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use driftless_model::RecordKey;

    use super::*;

    fn row(fields: Value) -> OutRow {
        let fields = fields.as_object().expect("an object").clone();
        OutRow { key: RecordKey::new("1"), identifiers: [].into(), remote_id: None, fields }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(path, field)| ((*path).to_owned(), (*field).to_owned())).collect()
    }

    #[test]
    fn a_user_has_names_lists_and_extensions_where_scim_wants_them() {
        let map = map(&[
            ("userName", "email"),
            ("name.givenName", "first"),
            ("emails", "email"),
            ("phoneNumbers[mobile]", "phone"),
            ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "team"),
            ("title", "title"),
        ]);
        let row = row(json!({ "email": "a@example.com", "first": "Ada", "phone": "+1", "team": "Ops", "title": null }));
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        assert_eq!(
            Attributes::of(&row, &map).user(true),
            json!({
                "schemas": [USER, enterprise],
                "userName": "a@example.com",
                "name": { "givenName": "Ada" },
                "emails": [{ "value": "a@example.com", "primary": true }],
                "phoneNumbers": [{ "value": "+1", "primary": true, "type": "mobile" }],
                enterprise: { "department": "Ops" },
                "active": true,
            })
        );
    }

    #[test]
    fn a_patch_names_each_attribute_and_takes_out_what_became_null() {
        let map = map(&[("userName", "email"), ("name.givenName", "first"), ("emails", "email"), ("title", "title")]);
        let row = row(json!({ "email": "a@example.com", "first": "Ada", "title": null }));
        assert_eq!(
            Attributes::of(&row, &map).operations("userName"),
            [
                json!({ "op": "replace", "path": "name.givenName", "value": "Ada" }),
                json!({ "op": "remove", "path": "title" }),
                json!({ "op": "replace", "path": "emails", "value": [{ "value": "a@example.com", "primary": true }] }),
            ]
        );
    }

    #[test]
    fn without_a_map_every_field_is_an_attribute_of_its_own_name() {
        let none = BTreeMap::new();
        let row = row(json!({ "userName": "a", "name.familyName": "B" }));
        let user = Attributes::of(&row, &none).user(false);
        assert_eq!((&user["userName"], &user["name"]["familyName"]), (&json!("a"), &json!("B")));
        assert!(user.get("active").is_none());
    }
}
