use crate::{EnvironmentError, SecretError};

/// Why a function could not start. Shown as one line; the function's invocations fail until it is repaired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// A variable is missing or wrong.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A secret could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It was started by hand.
    #[error(
        "this program is a Lambda function and was not started by Lambda; start it with `cargo lambda watch` and call it with \
         `cargo lambda invoke`"
    )]
    NotLambda,
    /// What the function itself needs is not there.
    #[error("the function could not be set up")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl InitError {
    /// Wraps an error of the function's own set-up.
    pub fn setup(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Setup(error.into())
    }
}

/// An error and its sources as one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_one_line_from_effect_to_cause() {
        let error = InitError::setup(InitError::NotLambda);
        assert!(chain(&error).starts_with("the function could not be set up: this program is a Lambda function"));
    }
}
