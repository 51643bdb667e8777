//! driftless-fn-janitor
