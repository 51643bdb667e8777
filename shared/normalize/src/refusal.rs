/// Why a value cannot be normalised: the rule it breaks, and what to do. Never the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No local part, no domain, or signs that destinations do not take.
    #[error("it is not an e-mail address")]
    Email,
    /// Letters, too few or too many digits, or an unknown country code.
    #[error("it is not a telephone number of the length that its country has")]
    Phone,
    /// A number as it is dialled at home.
    #[error("it has no country code; write it with one (+49 …), or set `region` on the field")]
    CountryCode,
    /// A number of a switchboard says little about a person.
    #[error("it has an extension, which no destination takes")]
    Extension,
    /// Neither a code of ISO 3166-1 nor an English country name.
    #[error("it is not a country: write a code of ISO 3166-1, such as DE")]
    Country,
    /// Destinations know two.
    #[error("it is not m, f, male or female")]
    Gender,
    /// Not a date, or a part out of range.
    #[error("it is not a date of birth, or that part of one; write 1997-02-16")]
    Birth,
    /// An advertising id is 32 hex digits in five groups.
    #[error("it is not a device id such as 38400000-8cf0-11bd-b23e-10b96e40000d")]
    DeviceId,
    /// The destination wants the value itself.
    #[error("it is a digest already, and this destination wants the value itself")]
    Hashed,
    /// A digest of another algorithm than the destination matches by.
    #[error("it is a digest already, of another algorithm than this destination matches by")]
    OtherDigest,
}
