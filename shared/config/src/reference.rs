//! Settings reference.
/// x
pub fn settings_reference() -> String {
    String::new()
}
