use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, LevelFilter};

use crate::EnvSource;

/// Crates whose debug output shows requests and with them record values and tokens: never below WARN, whatever is asked.
const QUIET: [&str; 7] = ["aws", "hyper", "h2", "reqwest", "rustls", "tower", "lambda_runtime_api_client"];

/// Writes logs as JSON lines to the standard output, and lets a panic print its place only.
///
/// The level comes from `AWS_LAMBDA_LOG_LEVEL` (what Lambda's advanced logging sets), `RUST_LOG` refines it; INFO by default.
/// A second call changes nothing.
pub fn start_logging(env: &dyn EnvSource) {
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_env_filter(filter(env))
        .with_writer(std::io::stdout);
    if subscriber.try_init().is_ok() {
        // The message of a panic may quote a value.
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(place, "panic");
        }));
    }
}

fn filter(env: &dyn EnvSource) -> EnvFilter {
    let level = match env.var("AWS_LAMBDA_LOG_LEVEL").unwrap_or_default().to_ascii_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "WARN" => LevelFilter::WARN,
        "ERROR" | "FATAL" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    };
    let asked = env.var("RUST_LOG").unwrap_or_default();
    let filter = EnvFilter::builder().with_default_directive(level.into()).parse_lossy(asked);
    let quiet = QUIET.iter().filter_map(|target| format!("{target}=warn").parse::<Directive>().ok());
    quiet.fold(filter, EnvFilter::add_directive)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_level_follows_lambda_and_libraries_stay_quiet() {
        let env = BTreeMap::from([("AWS_LAMBDA_LOG_LEVEL", "debug")]);
        let text = filter(&env).to_string();
        assert!(text.split(',').any(|d| d == "debug") && text.contains("aws=warn"), "{text}");
        let env = BTreeMap::from([("RUST_LOG", "driftless_delivery=trace,hyper=trace")]);
        let text = filter(&env).to_string();
        assert!(text.contains("driftless_delivery=trace") && text.contains("hyper=warn"), "{text}");
        assert!(!text.contains("hyper=trace"), "{text}");
    }
}
