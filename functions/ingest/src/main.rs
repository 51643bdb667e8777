//! The `ingest` function on Lambda: everything is in the library.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    driftless_runtime::start(driftless_fn_ingest::init).await
}
