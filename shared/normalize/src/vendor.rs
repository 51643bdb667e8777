//! Every recipe. Published versions are never edited: a new rule is a new entry with the next version.

use crate::Step::{
    self, BirthDate, BirthDay, BirthMonth, BirthYear, DeviceId, E164, FirstLetter, IsEmail, Letters, Lowercase,
    Uppercase, UsState, WithoutAliases, WithoutPlus, WithoutSpaces, Zip,
};
use crate::VendorHash::{self, Md5, Sha256, Sha256Base64, Sha512};
use crate::recipe::Spec;

const META: &str =
    "https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters";
const META_AUDIENCES: &str =
    "https://developers.facebook.com/documentation/ads-commerce/marketing-api/audiences/guides/custom-audiences";
const GOOGLE: &str = "https://developers.google.com/data-manager/api/devguides/concepts/formatting";
const TIKTOK: &str = "https://ads.tiktok.com/help/article/list-of-supported-ids-and-formats-for-a-customer-file";
const LINKEDIN: &str =
    "https://learn.microsoft.com/linkedin/marketing/matched-audiences/create-and-manage-segment-users";
const MAILCHIMP: &str = "https://mailchimp.com/developer/marketing/docs/methods-parameters/";
const KLAVIYO: &str = "https://developers.klaviyo.com/en/reference/profiles_api_overview";
const HUBSPOT: &str = "https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide";
const BRAZE: &str = "https://www.braze.com/docs/api/endpoints/user_data/post_user_track";
const ITERABLE: &str = "https://api.iterable.com/api/docs";
const NOBODY: &str = "";

const HEX: &[VendorHash] = &[Sha256];
const HEX_OR_BASE64: &[VendorHash] = &[Sha256, Sha256Base64];
const NONE: &[VendorHash] = &[];

const EMAIL: &[Step] = &[Lowercase, IsEmail];
const NAME: &[Step] = &[Lowercase, Letters];
const LOWER: &[Step] = &[Lowercase];

const fn strict(
    vendor: &'static str,
    kind: &'static str,
    steps: &'static [Step],
    hashes: &'static [VendorHash],
    source: &'static str,
    choice: &'static str,
) -> Spec {
    Spec { vendor, kind, version: 1, steps, strict: true, hashes, source, choice }
}

/// As [`strict`], for what only helps to match: a value that breaks a rule is left out.
const fn lenient(
    vendor: &'static str,
    kind: &'static str,
    steps: &'static [Step],
    hashes: &'static [VendorHash],
    source: &'static str,
    choice: &'static str,
) -> Spec {
    Spec { strict: false, ..strict(vendor, kind, steps, hashes, source, choice) }
}

const LENGTH_ONLY: &str = "Numbers are checked for the length that their country has, not for blocks in use.";
const META_SPACES: &str =
    "The page names only punctuation; spaces inside are removed too, as for cities. Not confirmed by the vendor.";
const META_DIGITS: &str = "Meta's own library removes digits too; the page does not say so, and they are kept.";
const NOT_CONFIRMED: &str = "Not confirmed by the vendor.";
const TIKTOK_EMAIL: &str = "The help page asks to drop `+` and what follows before the @, the page on creating an audience, \
     which has the example, does not. Nothing is dropped: only spaces and capitals go.";
const TIKTOK_PHONE: &str = "The page on creating an audience and the API want E.164 with its `+`; the list of formats wants none, and the \
     digest in the page's own example is that of a number without it. The page calls that \"also supported\". The `+` stays.";
const GOOGLE_NAME: &str =
    "The API reference says `no punctuation`, the formatting guide and Google's own library keep it. It is kept.";
const GOOGLE_SPACES: &str =
    "The guide removes white space inside; Google's own library refuses such an address. It is removed.";

pub(crate) static RECIPES: &[Spec] = &[
    strict("plain", "email", EMAIL, NONE, NOBODY, ""),
    strict("plain", "phone", &[E164], NONE, NOBODY, LENGTH_ONLY),
    lenient("plain", "country", &[Step::Country], NONE, NOBODY, ""),
    strict("plain", "device_id", &[DeviceId], NONE, NOBODY, ""),
    strict("meta", "email", EMAIL, HEX, META, ""),
    strict("meta", "phone", &[E164, WithoutPlus], HEX, META, LENGTH_ONLY),
    lenient("meta", "first_name", NAME, HEX, META, META_SPACES),
    lenient("meta", "last_name", NAME, HEX, META, META_SPACES),
    lenient("meta", "first_initial", &[Lowercase, Letters, FirstLetter], HEX, META_AUDIENCES, ""),
    lenient("meta", "city", NAME, HEX, META, META_DIGITS),
    lenient("meta", "state", &[Lowercase, Letters, UsState], HEX, META, ""),
    lenient("meta", "zip", &[Lowercase, Zip], HEX, META, ""),
    lenient("meta", "country", &[Step::Country, Lowercase], HEX, META, ""),
    lenient("meta", "gender", &[Step::Gender], HEX, META, ""),
    lenient("meta", "birth_year", &[BirthYear], HEX, META_AUDIENCES, ""),
    lenient("meta", "birth_month", &[BirthMonth], HEX, META_AUDIENCES, ""),
    lenient("meta", "birth_day", &[BirthDay], HEX, META_AUDIENCES, ""),
    lenient("meta", "birth_date", &[BirthDate], HEX, META, "With slashes the month comes first, as on the page."),
    strict("meta", "device_id", &[DeviceId, Lowercase], NONE, META_AUDIENCES, ""),
    strict(
        "google",
        "email",
        &[WithoutSpaces, Lowercase, WithoutAliases, IsEmail],
        HEX_OR_BASE64,
        GOOGLE,
        GOOGLE_SPACES,
    ),
    strict("google", "phone", &[E164], HEX_OR_BASE64, GOOGLE, LENGTH_ONLY),
    lenient("google", "first_name", LOWER, HEX_OR_BASE64, GOOGLE, GOOGLE_NAME),
    lenient("google", "last_name", LOWER, HEX_OR_BASE64, GOOGLE, GOOGLE_NAME),
    lenient("google", "country", &[Step::Country], NONE, GOOGLE, ""),
    lenient("google", "zip", &[], NONE, GOOGLE, ""),
    strict(
        "google",
        "device_id",
        &[DeviceId],
        NONE,
        GOOGLE,
        "The case of the letters is kept. Not confirmed by the vendor.",
    ),
    strict("tiktok", "email", &[WithoutSpaces, Lowercase, IsEmail], HEX, TIKTOK, TIKTOK_EMAIL),
    strict("tiktok", "phone", &[E164], HEX, TIKTOK, TIKTOK_PHONE),
    strict(
        "tiktok",
        "device_id",
        &[DeviceId, Lowercase],
        &[Sha256, Md5],
        TIKTOK,
        "All lower-case; the page only wants one case throughout.",
    ),
    strict("linkedin", "email", &[WithoutSpaces, Lowercase, IsEmail], &[Sha256, Sha512], LINKEDIN, NOT_CONFIRMED),
    lenient("linkedin", "first_name", &[], NONE, LINKEDIN, NOT_CONFIRMED),
    lenient("linkedin", "last_name", &[], NONE, LINKEDIN, NOT_CONFIRMED),
    lenient("linkedin", "country", &[Step::Country], NONE, LINKEDIN, NOT_CONFIRMED),
    strict("linkedin", "device_id", &[DeviceId, Lowercase], NONE, LINKEDIN, NOT_CONFIRMED),
    strict("mailchimp", "email", EMAIL, NONE, MAILCHIMP, ""),
    strict(
        "mailchimp",
        "subscriber_hash",
        EMAIL,
        &[Md5],
        MAILCHIMP,
        "The name of a member in paths; it hides nothing.",
    ),
    strict("mailchimp", "phone", &[E164], NONE, MAILCHIMP, NOT_CONFIRMED),
    strict("klaviyo", "email", EMAIL, NONE, KLAVIYO, ""),
    strict("klaviyo", "phone", &[E164], NONE, KLAVIYO, LENGTH_ONLY),
    lenient("klaviyo", "country", &[Step::Country], NONE, KLAVIYO, NOT_CONFIRMED),
    strict("hubspot", "email", EMAIL, NONE, HUBSPOT, ""),
    strict("hubspot", "phone", &[E164], NONE, HUBSPOT, NOT_CONFIRMED),
    strict("braze", "email", EMAIL, NONE, BRAZE, ""),
    strict("braze", "phone", &[E164], NONE, BRAZE, LENGTH_ONLY),
    lenient("braze", "country", &[Step::Country], NONE, BRAZE, NOT_CONFIRMED),
    lenient(
        "braze",
        "gender",
        &[Step::Gender, Uppercase],
        NONE,
        BRAZE,
        "Braze knows more than M and F; others are left out.",
    ),
    strict("iterable", "email", EMAIL, NONE, ITERABLE, ""),
    strict("iterable", "phone", &[E164], NONE, ITERABLE, NOT_CONFIRMED),
];
