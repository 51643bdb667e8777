//! driftless-config
