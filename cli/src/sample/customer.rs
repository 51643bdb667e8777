//! One customer: everything follows from seed, number and how often they changed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A customer as one row has them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Customer {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) first_name: &'static str,
    pub(crate) last_name: &'static str,
    pub(crate) phone: Option<String>,
    pub(crate) city: &'static str,
    pub(crate) country: &'static str,
    /// Cents.
    pub(crate) ltv: i64,
    pub(crate) orders: i32,
    pub(crate) consent: bool,
    /// Milliseconds since 1970.
    pub(crate) last_seen: i64,
}

const FIRST: [&str; 40] = [
    "Anna", "Ben", "Carla", "David", "Elena", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Katja", "Luca", "Maria",
    "Nils", "Olga", "Paul", "Quentin", "Rosa", "Sami", "Tina", "Uwe", "Vera", "Willem", "Xenia", "Yara", "Zoé", "Amir",
    "Birgit", "Chiara", "Diego", "Emma", "Finn", "Giulia", "Hanna", "Ivan", "Julia", "Kees", "Léa", "Mateo", "Noor",
];
const LAST: [&str; 40] = [
    "Müller",
    "Schmidt",
    "Rossi",
    "García",
    "Dubois",
    "de Vries",
    "Jansen",
    "Bianchi",
    "Fernández",
    "Moreau",
    "Weber",
    "Fischer",
    "Bakker",
    "Ricci",
    "López",
    "Laurent",
    "Becker",
    "Hoffmann",
    "Visser",
    "Conti",
    "Martínez",
    "Lefèvre",
    "Wagner",
    "Schulz",
    "Smit",
    "Marino",
    "Sánchez",
    "Roux",
    "Koch",
    "Richter",
    "Meijer",
    "Greco",
    "Pérez",
    "Fournier",
    "Wolf",
    "Braun",
    "Mulder",
    "Romano",
    "Ruiz",
    "Girard",
];
/// City, country and calling code.
const PLACES: [(&str, &str, &str); 16] = [
    ("Berlin", "DE", "49"),
    ("Hamburg", "DE", "49"),
    ("München", "DE", "49"),
    ("Köln", "DE", "49"),
    ("Paris", "FR", "33"),
    ("Lyon", "FR", "33"),
    ("Madrid", "ES", "34"),
    ("Sevilla", "ES", "34"),
    ("Roma", "IT", "39"),
    ("Milano", "IT", "39"),
    ("Amsterdam", "NL", "31"),
    ("Utrecht", "NL", "31"),
    ("Wien", "AT", "43"),
    ("Zürich", "CH", "41"),
    ("London", "GB", "44"),
    ("Warszawa", "PL", "48"),
];
const PROVIDERS: [&str; 5] = ["example.com", "example.org", "example.net", "mail.example", "post.example"];
/// 2026-01-01T00:00:00Z.
const EPOCH_MS: i64 = 1_767_225_600_000;
const DAY_MS: i64 = 86_400_000;

fn pick<T: Copy>(rng: &mut StdRng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

fn rng(seed: u64, id: u64, change: u32) -> StdRng {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ id.wrapping_mul(0xd1b5_4a32_d192_ed03) ^ u64::from(change);
    StdRng::seed_from_u64(mixed)
}

/// Letters of a name that an address can have.
fn plain(name: &str) -> String {
    let fold = |c: char| match c {
        'ü' => "ue".to_owned(),
        'ö' => "oe".to_owned(),
        'é' | 'è' => "e".to_owned(),
        'á' => "a".to_owned(),
        'ó' => "o".to_owned(),
        'í' => "i".to_owned(),
        ' ' => String::new(),
        c => c.to_lowercase().collect(),
    };
    name.chars().map(fold).collect()
}

fn phone(rng: &mut StdRng, code: &str) -> Option<String> {
    let number = rng.random_range(100_000_000_u32..999_999_999);
    rng.random_bool(0.85).then(|| format!("+{code}{number}"))
}

impl Customer {
    /// Customer `number` after `changes` changes. Every change buys something, and most change what is known of the person.
    pub(crate) fn new(seed: u64, number: u64, changes: u32) -> Self {
        let mut r = rng(seed, number, 0);
        let (first_name, last_name) = (pick(&mut r, &FIRST), pick(&mut r, &LAST));
        let (city, country, code) = pick(&mut r, &PLACES);
        let provider = pick(&mut r, &PROVIDERS);
        let mut customer = Self {
            id: format!("c{number:08}"),
            email: format!("{}.{}.{number}@{provider}", plain(first_name), plain(last_name)),
            first_name,
            last_name,
            phone: phone(&mut r, code),
            city,
            country,
            ltv: r.random_range(0..500_000),
            orders: r.random_range(0..60),
            consent: r.random_bool(0.7),
            last_seen: EPOCH_MS - r.random_range(0..400) * DAY_MS - r.random_range(0..DAY_MS),
        };
        for change in 1..=changes {
            customer.change(&mut rng(seed, number, change), number, change);
        }
        customer
    }

    fn change(&mut self, r: &mut StdRng, number: u64, change: u32) {
        self.ltv += r.random_range(500..20_000);
        self.orders += 1;
        self.last_seen += r.random_range(1..DAY_MS * 7);
        match r.random_range(0..20) {
            0..6 => self.last_name = pick(r, &LAST),
            6..11 => {
                let (city, country, code) = pick(r, &PLACES);
                (self.city, self.country, self.phone) = (city, country, phone(r, code));
            }
            11..13 => self.consent = !self.consent,
            // Another address: for a destination that matches by it, another person (protocol rule 5).
            13 => self.email = format!("{}{change}.{number}@{}", plain(self.first_name), pick(r, &PROVIDERS)),
            _ => self.first_name = pick(r, &FIRST),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn customers_are_told_apart_by_number_and_address() {
        let all: Vec<Customer> = (1..=2000).map(|n| Customer::new(1, n, u32::from(n % 3 == 0))).collect();
        let distinct = |f: fn(&Customer) -> &str| all.iter().map(f).collect::<BTreeSet<_>>().len();
        assert_eq!((distinct(|c| &c.id), distinct(|c| &c.email)), (2000, 2000));
        assert!(all.iter().all(|c| c.email.is_ascii() && c.email.contains('@')));
    }

    #[test]
    fn a_change_shows_and_builds_on_the_ones_before() {
        let (a, b, c) = (Customer::new(1, 9, 0), Customer::new(1, 9, 1), Customer::new(1, 9, 2));
        assert_ne!(a, b);
        assert!(a.orders < b.orders && b.orders < c.orders && a.id == c.id);
        assert_eq!(Customer::new(1, 9, 2), c);
    }
}
