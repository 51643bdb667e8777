use arrow::datatypes::Schema;

use crate::{Use, ViewError};

/// The column that `name` means: the one that is called so, else the only one that is called so but for case.
pub(crate) fn find<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    name: &str,
    named_in: impl FnOnce() -> Use,
) -> Result<&'a str, ViewError> {
    if let Some(exact) = names.clone().find(|n| *n == name) {
        return Ok(exact);
    }
    let lower = name.to_lowercase();
    let mut alike = names.clone().filter(|n| n.to_lowercase() == lower);
    match (alike.next(), alike.next()) {
        (Some(only), None) => Ok(only),
        (Some(first), Some(second)) => Err(ViewError::AmbiguousColumn {
            column: name.to_owned(),
            named_in: named_in(),
            candidates: [first, second].into_iter().chain(alike).map(|n| format!("`{n}`")).collect(),
        }),
        (None, _) => Err(ViewError::MissingColumn {
            column: name.to_owned(),
            named_in: named_in(),
            nearest: nearest(names, name),
        }),
    }
}

/// The names of a schema's columns.
pub(super) fn names(schema: &Schema) -> impl Iterator<Item = &str> + Clone {
    schema.fields().iter().map(|f| f.name().as_str())
}

/// The name most like `name`, if any is like it at all.
pub(super) fn nearest<'a>(names: impl Iterator<Item = &'a str>, name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let (distance, best) = names.map(|n| (strsim::damerau_levenshtein(&n.to_lowercase(), &lower), n)).min()?;
    (distance <= 1 + lower.chars().count() / 3).then(|| best.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(names: &[&'static str], name: &str) -> Result<&'static str, ViewError> {
        find(names.iter().copied(), name, || Use::Key)
    }

    #[test]
    fn case_matters_only_where_it_must() {
        assert_eq!(look(&["Email", "id"], "email"), Ok("Email"));
        assert_eq!(look(&["Email", "email"], "email"), Ok("email"));
        assert!(matches!(look(&["Email", "EMAIL"], "email"), Err(ViewError::AmbiguousColumn { candidates, .. })
            if candidates == ["`Email`", "`EMAIL`"]));
    }

    #[test]
    fn the_nearest_name_is_suggested_if_it_is_near() {
        let missing = |name| match look(&["email", "phone"], name) {
            Err(ViewError::MissingColumn { nearest, .. }) => nearest,
            other => panic!("{other:?}"),
        };
        assert_eq!(missing("emial").as_deref(), Some("email"));
        assert_eq!(missing("birthday"), None);
    }
}
