//! The signature of a request (Standard Webhooks 1.0.0, symmetric).

use aws_lc_rs::hmac;
use base64::{Engine as _, alphabet, engine::general_purpose};
use driftless_config::SecretRef;
use secrecy::{ExposeSecret, SecretString};

use crate::BuildError;

/// What a symmetric secret begins with.
const PREFIX: &str = "whsec_";
/// The bytes that a secret may have.
const LENGTH: core::ops::RangeInclusive<usize> = 24..=64;
/// Padding is left out by some tools.
const LENIENT: general_purpose::GeneralPurpose = general_purpose::GeneralPurpose::new(
    &alphabet::STANDARD,
    general_purpose::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// A secret that signs.
pub(super) struct SigningSecret(hmac::Key);

impl SigningSecret {
    /// The secrets in a stored text, separated by white space.
    ///
    /// # Errors
    /// [`BuildError::SecretForm`] if one of them is not a secret of this kind. The text is not shown.
    pub(super) fn read(reference: &SecretRef, text: &SecretString) -> Result<Vec<Self>, BuildError> {
        let wrong = |what| BuildError::SecretForm { reference: reference.clone(), what };
        let secrets: Vec<Self> = text
            .expose_secret()
            .split_whitespace()
            .map(|secret| {
                let encoded = secret.strip_prefix(PREFIX).ok_or_else(|| wrong("does not begin with `whsec_`"))?;
                let bytes = LENIENT.decode(encoded).map_err(|_| wrong("is not base64 behind `whsec_`"))?;
                if !LENGTH.contains(&bytes.len()) {
                    return Err(wrong("does not have 24 to 64 bytes"));
                }
                Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
            })
            .collect::<Result<_, _>>()?;
        if secrets.is_empty() { Err(wrong("is empty")) } else { Ok(secrets) }
    }
}

/// The value of `webhook-signature`: one signature per secret, over exactly the bytes that are sent. `id` has no dot.
pub(super) fn sign(secrets: &[SigningSecret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let one = |SigningSecret(key): &SigningSecret| {
        let mut context = hmac::Context::with_key(key);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", general_purpose::STANDARD.encode(context.sign()))
    };
    secrets.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn read(text: &str) -> Result<Vec<SigningSecret>, String> {
        let reference = "hook".parse().expect("a name");
        SigningSecret::read(&reference, &text.to_owned().into()).map_err(|error| error.to_string())
    }

    /// The example of the specification's reference libraries.
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let secrets = read(SECRET).unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = sign(&secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn while_a_secret_is_rotated_both_sign() {
        let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let both = read(&format!("{SECRET} {other}\n")).unwrap();
        let signature = sign(&both, "a", 1, b"{}");
        let alone = |text| sign(&read(text).unwrap(), "a", 1, b"{}");
        assert_eq!(signature, format!("{} {}", alone(SECRET), alone(other)));
    }

    #[test]
    fn what_is_not_a_secret_is_refused_without_being_shown() {
        for bad in
            ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!", "whsec_AAAA", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        {
            let error = read(bad).err().expect("refused");
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }
}
