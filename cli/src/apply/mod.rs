//! From configuration to registry entries, schedules and requests: what `driftless apply` decides.

pub(crate) mod entry;
pub(crate) mod work;

#[cfg(test)]
pub(crate) mod tests;
