//! Digests: what a destination matches people by must never be a plain value.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// True for SHA-256 in lower-case hex.
pub(crate) fn is_hex(value: &str) -> bool {
    value.len() == 64 && value.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// True for SHA-256 in Base64 with padding.
pub(crate) fn is_base64(value: &str) -> bool {
    STANDARD.decode(value).is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_digest_is_one() {
        let hex = "f1904cf1a9d73a55fa5de0ac823c4403ded71afd4c3248d00bdcd0866552bb79";
        assert!(is_hex(hex) && !is_base64("f190"));
        assert!(!is_hex("mary@example.com") && !is_hex(&hex.to_uppercase()) && !is_hex(&hex[1..]));
        assert!(is_base64(&STANDARD.encode([7_u8; 32])) && !is_base64("mary@example.com"));
    }
}
