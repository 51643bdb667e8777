use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_saphyr::{DefaultMessageFormatter, DuplicateKeyPolicy, MessageFormatter};

use super::{
    Content, Cursor, Node, Position,
    de::blame,
    fault::{Fault, What},
};
use crate::problem::nearest;

/// The most bytes of one YAML file; the same for every file people write by hand.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// More problems in one file are not looked for.
const MAX_PROBLEMS: usize = 100;

/// A problem with its place in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) at: Position,
    pub(crate) key: String,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

/// What came of reading a type from a document: everything that is wrong, and the value as far as what is wrong could be
/// left out.
pub(crate) struct Reading<T> {
    pub(crate) value: Option<T>,
    pub(crate) problems: Vec<Located>,
}

/// Parses one YAML document of at most [`MAX_BYTES`]. Aliases and merge keys are expanded within a small budget, so that
/// a document cannot grow much beyond its text ("billion laughs").
///
/// # Errors
/// The one place where the text stops being YAML, or leaves the budget.
pub(crate) fn parse(text: &str) -> Result<Node, Located> {
    let whole = |message: String, remedy: &str| Located {
        at: Position::default(),
        key: String::new(),
        message,
        remedy: remedy.to_owned(),
    };
    if text.len() > MAX_BYTES {
        return Err(whole(
            format!("the file has {} bytes", text.len()),
            "keep it below 1 MiB; long lists go into `ids_file`",
        ));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: 32,
            flow_nesting_limit: 32,
            max_events: 200_000,
            max_nodes: 100_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_recorded_anchor_events: 20_000,
            max_merge_keys: 1_000,
            max_total_scalar_bytes: MAX_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 8,
        },
        // Reported below, all of them, with both places.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // `no` and `on` are words; a number with a leading zero or an underscore is a key or an id, not a number.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Node>(text, options).map_err(|error| {
        let at = error.location().map(Position::from).unwrap_or_default();
        let message = DefaultMessageFormatter.format_message(error.without_snippet()).into_owned();
        Located { at, key: String::new(), message, remedy: "correct the YAML at this place".to_owned() }
    })
}

/// Reads a type from a document. What is wrong is reported, left out, and the rest is read again, until nothing is wrong
/// or the document as a whole cannot be read without what was left out. `required` are the keys the document must have.
pub(crate) fn read<'n, T: Deserialize<'n>>(root: &'n Node, required: &[String]) -> Reading<T> {
    let mut problems = Vec::new();
    refuse_repeated_keys(root, "", &mut problems);
    let value = loop {
        let fault = match T::deserialize(Cursor(root)) {
            Ok(value) => break Some(value),
            Err(fault) => placed(fault, root),
        };
        let end = root.refused.get();
        if !fault.is_consequence() {
            problems.push(located(&fault));
        }
        if end {
            let missed = |p: &Located| p.key.clone();
            // Of what is no map at all, no keys are missed.
            let required = if matches!(root.content, Content::Map(_)) { required } else { &[] };
            let known: BTreeSet<String> = problems.iter().map(missed).collect();
            problems.extend(missing(root, required).filter(|p| !known.contains(&p.key)));
            break None;
        }
        if problems.len() >= MAX_PROBLEMS {
            break None;
        }
    };
    problems.sort_by_key(|p| (p.at.line, p.at.column));
    Reading { value, problems }
}

fn placed(mut fault: Fault, root: &Node) -> Fault {
    if fault.is_unplaced() {
        blame(root, &mut fault);
    }
    fault
}

fn located(fault: &Fault) -> Located {
    let (message, remedy) = fault.what().words();
    let path = fault.path();
    let key = match fault.what() {
        What::UnknownKey { key, .. } => join(&path, key),
        What::Missing { key } => join(&path, key),
        _ => path,
    };
    Located { at: fault.at().unwrap_or_default(), key, message, remedy }
}

fn missing<'a>(root: &'a Node, required: &'a [String]) -> impl Iterator<Item = Located> + 'a {
    let misspelt = |key: &str| root.entries().iter().any(|e| e.value.refused.get() && nearest(&e.key, [key]).is_some());
    let absent = required.iter().filter(move |key| root.entry(key).is_none() && !misspelt(key));
    absent.map(|key| Located {
        at: root.at,
        key: key.clone(),
        message: format!("`{key}` is missing"),
        remedy: format!("add the key `{key}`"),
    })
}

fn refuse_repeated_keys(node: &Node, path: &str, problems: &mut Vec<Located>) {
    let mut first: BTreeMap<&str, Position> = BTreeMap::new();
    for entry in node.entries() {
        let path = join(path, &entry.key);
        if let Some(first) = first.get(entry.key.as_str()) {
            entry.value.refused.set(true);
            let message = format!("this key stands already in line {}", first.line);
            problems.push(Located { at: entry.at, key: path.clone(), message, remedy: "keep one of them".to_owned() });
        } else {
            first.insert(&entry.key, entry.at);
        }
        refuse_repeated_keys(&entry.value, &path, problems);
    }
    if let Content::List(list) = &node.content {
        for (i, node) in list.iter().enumerate() {
            refuse_repeated_keys(node, &format!("{path}[{i}]"), problems);
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Where each key path of a document stands: a scalar at its value, anything larger at its key. An element of a list that
/// names itself by `field` is found under that name as well, as it would be in a map.
pub(crate) fn places(root: &Node) -> BTreeMap<String, Position> {
    let mut places = BTreeMap::from([(String::new(), root.at)]);
    collect(root, "", &mut places);
    places
}

fn collect(node: &Node, path: &str, places: &mut BTreeMap<String, Position>) {
    for entry in node.entries() {
        let path = join(path, &entry.key);
        let at = match entry.value.content {
            Content::List(_) | Content::Map(_) | Content::Null => entry.at,
            _ => entry.value.at,
        };
        places.entry(path.clone()).or_insert(at);
        collect(&entry.value, &path, places);
    }
    if let Content::List(list) = &node.content {
        for (i, element) in list.iter().enumerate() {
            let by_number = format!("{path}[{i}]");
            collect(element, &by_number, places);
            places.insert(by_number, element.at);
            if let Some(name) = element.entry("field").and_then(|e| e.value.text()) {
                let by_name = join(path, name);
                collect(element, &by_name, places);
                places.entry(by_name).or_insert(element.at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Thing {
        name: String,
        count: u32,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default)]
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        word: Word,
        size: Option<u8>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        One,
        Two,
    }

    fn problems(text: &str) -> Vec<String> {
        let root = parse(text).expect("YAML");
        let reading = read::<Thing>(&root, &["name".into(), "count".into()]);
        let show = |p: Located| format!("{}:{} {}: {}; {}", p.at.line, p.at.column, p.key, p.message, p.remedy);
        reading.problems.into_iter().map(show).collect()
    }

    #[test]
    fn everything_wrong_is_reported_at_once_with_its_place() {
        let text =
            "nam: x\ncount: -3\ninner:\n  word: tow\n  size: 300\nlist:\n  - word: one\n    siez: 1\n  - size: 1\n";
        assert_eq!(
            problems(text),
            [
                "1:1 nam: unknown key; did you mean `name`?",
                "2:8 count: expected a whole number from 0 to 4294967295, found the number -3; write a whole number from 0 to 4294967295",
                "4:9 inner.word: unknown value `tow`; did you mean `two`?",
                "5:9 inner.size: expected a whole number from 0 to 255, found the number 300; write a whole number from 0 to 255",
                "8:5 list[0].siez: unknown key; did you mean `size`?",
                "9:5 list[1].word: `word` is missing; add the key `word`",
            ]
        );
    }

    #[test]
    fn a_key_given_twice_is_reported_with_both_places() {
        assert_eq!(
            problems("name: a\ncount: 1\nname: b\n"),
            ["3:1 name: this key stands already in line 1; keep one of them"]
        );
    }

    #[test]
    fn all_missing_keys_of_an_empty_document_are_named() {
        assert_eq!(
            problems("{}\n"),
            ["1:1 name: `name` is missing; add the key `name`", "1:1 count: `count` is missing; add the key `count`"]
        );
    }

    #[test]
    fn text_is_not_guessed_from_numbers_and_words_like_no_are_text() {
        assert_eq!(
            problems("name: 12\ncount: 1\n"),
            ["1:7 name: expected text, found the number 12; put it in quotes"]
        );
        assert_eq!(problems("name: no\ncount: 1\n"), [""; 0]);
        assert_eq!(problems("name: 007\ncount: 1\n"), [""; 0]);
    }

    #[test]
    fn documents_made_to_grow_are_refused() {
        let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, of) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"])
        {
            laughs = format!("{laughs}{name}: &{name} [{}]\n", [format!("*{of}").as_str(); 9].join(", "));
        }
        assert!(parse(&laughs).is_err());
        assert!(parse(&"[".repeat(10_000)).is_err());
        assert!(parse(&format!("a: {}", "x".repeat(MAX_BYTES))).is_err());
        assert!(parse(&"- x\n".repeat(200_000)).is_err());
        assert!(parse("a: 1\n---\nb: 2\n").is_err());
        assert!(parse("a: !!python/object 1\n").is_err());
    }
}
