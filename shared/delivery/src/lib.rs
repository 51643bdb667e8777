//! driftless-delivery
