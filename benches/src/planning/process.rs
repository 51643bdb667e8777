//! The memory of this process, as Linux tells it.

use anyhow::Context;

fn status(name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.with_context(|| format!("no {name}"))?.parse::<u64>()? / 1024)
}

/// The largest resident memory is counted from here on. Answers what is resident now, in MB.
pub(crate) fn begin() -> anyhow::Result<u64> {
    std::fs::write("/proc/self/clear_refs", "5")?;
    status("VmRSS")
}

/// The largest resident memory since, in MB.
pub(crate) fn peak_mb() -> anyhow::Result<u64> {
    status("VmHWM")
}
