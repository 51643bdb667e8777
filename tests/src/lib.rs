//! driftless-tests
