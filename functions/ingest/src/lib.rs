//! driftless-fn-ingest
