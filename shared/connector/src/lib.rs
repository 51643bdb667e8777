//! driftless-connector
