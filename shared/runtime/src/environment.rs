use core::{fmt, str::FromStr};
use std::collections::BTreeMap;

/// Where variables come from: the process, or a map in a test.
pub trait EnvSource {
    /// The value of a variable; `None` if it is not set or not Unicode.
    fn var(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnv;

impl EnvSource for ProcessEnv {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl EnvSource for BTreeMap<&str, &str> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).map(|&value| value.to_owned())
    }
}

/// Variables being read. Problems are collected, so that one deployment shows all of them.
pub struct Variables<'e> {
    source: &'e dyn EnvSource,
    problems: Vec<Problem>,
}

/// What is wrong with one variable. Never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    name: &'static str,
    what: String,
}

/// The environment of the function is not what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentError {
    problems: Vec<Problem>,
}

impl EnvironmentError {
    /// The names of the variables that are missing or wrong, in the order in which they are documented.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.problems.iter().map(|p| p.name)
    }
}

impl fmt::Display for EnvironmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the function's environment is not complete: ")?;
        for (at, problem) in self.problems.iter().enumerate() {
            let comma = if at == 0 { "" } else { "; " };
            write!(f, "{comma}{} {}", problem.name, problem.what)?;
        }
        Ok(())
    }
}

impl core::error::Error for EnvironmentError {}

impl<'e> Variables<'e> {
    /// Reads from `source`.
    pub const fn new(source: &'e dyn EnvSource) -> Self {
        Self { source, problems: Vec::new() }
    }

    fn problem(&mut self, name: &'static str, what: impl Into<String>) {
        self.problems.push(Problem { name, what: what.into() });
    }

    fn get(&self, name: &str) -> Option<String> {
        self.source.var(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty())
    }

    /// A text that must be there.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        let value = self.get(name);
        if value.is_none() {
            self.problem(name, "is missing or empty");
        }
        value
    }

    /// An HTTP address that must be there.
    pub fn url(&mut self, name: &'static str) -> Option<String> {
        let value = self.text(name)?;
        if value.starts_with("https://") || value.starts_with("http://") {
            return Some(value);
        }
        self.problem(name, "is not a URL");
        None
    }

    /// A value that must be there and parse. The parser's error must not repeat its input.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str) -> Option<T> {
        match self.text(name)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(name, format!("is not valid: {error}"));
                None
            }
        }
    }

    /// As [`Self::parsed`], with a value for when it is not set.
    pub fn parsed_or<T: FromStr<Err: fmt::Display>>(&mut self, name: &'static str, default: T) -> Option<T> {
        if self.get(name).is_some() { self.parsed(name) } else { Some(default) }
    }

    /// A whole number within bounds, with a value for when it is not set.
    pub fn number(&mut self, name: &'static str, within: core::ops::RangeInclusive<u64>, default: u64) -> Option<u64> {
        let Some(text) = self.get(name) else { return Some(default) };
        let number = text.parse().ok().filter(|n| within.contains(n));
        if number.is_none() {
            self.problem(name, format!("is not a whole number from {} to {}", within.start(), within.end()));
        }
        number
    }

    /// `true` or `false`; false when it is not set.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        match self.get(name).as_deref() {
            None | Some("false") => Some(false),
            Some("true") => Some(true),
            Some(_) => {
                self.problem(name, "is neither true nor false");
                None
            }
        }
    }

    /// The configuration, if nothing was wrong.
    ///
    /// # Errors
    /// [`EnvironmentError`] with every problem. Starting the function must fail.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, EnvironmentError> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(EnvironmentError { problems: self.problems }),
        }
    }
}
