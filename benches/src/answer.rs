//! What a program of the bench prints: one line of JSON, or why there is none.

use std::process::ExitCode;

use serde_json::Value;

pub(crate) fn answer(found: anyhow::Result<Value>) -> ExitCode {
    match found {
        Ok(found) => {
            say(&found);
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout)] // the answer
fn say(found: &Value) {
    println!("{found}");
}

#[allow(clippy::print_stderr)] // the reason
fn complain(error: &anyhow::Error) {
    eprintln!("{error:#}");
}
