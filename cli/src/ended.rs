//! How the command ends, and how it says what went wrong.

use std::io::Write;
use std::process::ExitCode;

use driftless_model::Disposition;
use serde_json::json;

/// How the command ended: its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// 0: done, and nobody needs to act.
    Well,
    /// 1: it failed.
    Failed,
    /// 2: it was called wrongly, or names something that does not exist.
    Usage,
    /// 3: done, and a person needs to act: held, needs attention, parked for a person, a check that failed.
    Attention,
    /// 4: the configuration is not valid.
    Invalid,
    /// 5: what was waited for did not happen in time.
    TimedOut,
}

impl Ended {
    /// All of them, for the documentation.
    #[cfg(test)]
    pub(crate) const ALL: [(Self, &'static str); 6] = [
        (Self::Well, "done, and nobody needs to act"),
        (Self::Failed, "it failed; the message says why"),
        (Self::Usage, "it was called wrongly, or names a sync or destination that does not exist"),
        (Self::Attention, "done, and a person needs to act: something is held, needs attention or failed a check"),
        (Self::Invalid, "the configuration is not valid; every problem is listed"),
        (Self::TimedOut, "what was waited for did not happen in time; it may still happen"),
    ];

    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Attention => 3,
            Self::Invalid => 4,
            Self::TimedOut => 5,
        }
    }
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        Self::from(ended.code())
    }
}

/// Something the user can mend: what is wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{what}; {remedy}")]
pub(crate) struct Trouble {
    what: String,
    remedy: String,
    ended: Ended,
}

impl Trouble {
    /// It cannot be done as things are.
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into(), ended: Ended::Failed }
    }

    /// It was asked for wrongly.
    pub(crate) fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { ended: Ended::Usage, ..Self::new(what, remedy) }
    }

    /// A sync that is not registered.
    pub(crate) fn no_sync(sync: &driftless_model::SyncId) -> Self {
        Self::usage(
            format!("there is no sync `{sync}` on this stage"),
            "`driftless status` lists them; `driftless apply` registers what the project has",
        )
    }
}

/// Prints an error with its causes and a remedy, on standard error.
pub(crate) fn report(error: &anyhow::Error, json: bool) -> Ended {
    let ended = error.downcast_ref::<Trouble>().map_or(Ended::Failed, |t| t.ended);
    let message = chain(error);
    let line = if json {
        json!({ "error": message, "remedy": remedy(error), "exit_code": ended.code() }).to_string()
    } else {
        match remedy(error) {
            Some(remedy) => format!("error: {message}; {remedy}"),
            None => format!("error: {message}"),
        }
    };
    // There is nobody left to tell if standard error is closed.
    let _: std::io::Result<()> = writeln!(std::io::stderr().lock(), "{line}");
    ended
}

/// The error and its causes in one line; a cause that repeats what was said is left out.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let said = cause.to_string();
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
    }
    text
}

/// What to do about an error of ours that does not say it itself.
fn remedy(error: &anyhow::Error) -> Option<&'static str> {
    const REACH: &str =
        "check the network, the credentials (--profile), the region (--region) and the endpoint (--endpoint-url)";
    let retry = error.chain().any(|cause| {
        let disposition = if let Some(e) = cause.downcast_ref::<driftless_deltalog::Error>() {
            Some(e.disposition())
        } else if let Some(e) = cause.downcast_ref::<driftless_objects::Error>() {
            Some(e.disposition())
        } else if let Some(e) = cause.downcast_ref::<driftless_delivery::Error>() {
            Some(e.disposition())
        } else {
            cause.downcast_ref().map(driftless_runtime::SecretError::disposition)
        };
        disposition.is_some_and(Disposition::is_retry)
    });
    retry.then_some(REACH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_from_effect_to_cause() {
        let cause = Trouble::new("the queue is not there", "deploy the stack");
        let error = anyhow::Error::from(cause).context("nothing was applied");
        assert_eq!(chain(&error), "nothing was applied: the queue is not there; deploy the stack");
        assert_eq!(report(&error, true), Ended::Failed);
    }

    #[test]
    fn a_store_that_cannot_be_reached_names_what_to_check() {
        let error =
            driftless_deltalog::Error::Unavailable { operation: "GetItem", reason: "timeout".into(), source: None };
        let error = anyhow::Error::from(error);
        assert!(remedy(&error).is_some_and(|r| r.contains("--endpoint-url")));
        assert_eq!(remedy(&anyhow::anyhow!("other")), None);
    }
}
