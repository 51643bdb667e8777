//! driftless-fn-planner
