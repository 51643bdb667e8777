//! driftless-fn-connector
