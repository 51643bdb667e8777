//! driftless-history
