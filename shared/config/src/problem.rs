use core::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// Something in the configuration that must be changed before it can be used, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 where the problem is the file as a whole.
    pub line: u32,
    /// The column, from 1, in characters; 0 where the problem is the file as a whole.
    pub column: u32,
    /// The key, with those above it: `guards.max_removals`, `mapping.email.normalize[1]`. Empty for the whole document.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// One line: `syncs/a.yaml:3:1: shedule: unknown key; did you mean `schedule`?`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}; {}", self.message, self.remedy)
    }
}

/// A problem before its place is known: the key it concerns, what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) key: String,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

impl Finding {
    pub(crate) fn new(key: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into(), remedy: remedy.into() }
    }
}

/// The known word nearest to `word`, if one is near enough to have been meant: much the same letters, or one slip away.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |s: &str| s.to_lowercase().replace('-', "_");
    let word = plain(word);
    let near = |candidate: &str| {
        let candidate = plain(candidate);
        let likeness = strsim::jaro_winkler(&word, &candidate);
        let slip = word.len() > 2 && strsim::osa_distance(&word, &candidate) == 1;
        (likeness >= 0.8 || slip).then_some(likeness)
    };
    let likely = known.into_iter().filter_map(|candidate| Some((near(candidate)?, candidate)));
    likely.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

/// `a`, `b` and `c`, each as code.
pub(crate) fn enumerate<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|w| format!("`{w}`")).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_only_when_it_is_near() {
        let known = ["schedule", "selection", "strategy", "max_removals"];
        assert_eq!(nearest("shedule", known), Some("schedule"));
        assert_eq!(nearest("max-removal", known), Some("max_removals"));
        assert_eq!(nearest("Strategie", known), Some("strategy"));
        assert_eq!(nearest("tow", ["one", "two"]), Some("two"));
        assert_eq!(nearest("colour", known), None);
    }
}
