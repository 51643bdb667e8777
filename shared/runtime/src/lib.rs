//! driftless-runtime
