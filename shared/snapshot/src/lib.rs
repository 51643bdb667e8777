//! driftless-snapshot
