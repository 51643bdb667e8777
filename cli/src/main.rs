//! The `driftless` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    driftless::main().await
}
