//! Amounts of resources, `k8s.io/apimachinery/pkg/api/resource`: `250m`, `1Gi`, `2e3`.
//!
//! An amount is exact to a billionth. Kubernetes prints the text it read until arithmetic touches the amount, and
//! canonicalizes only the resource lists of pods and the like (by rounding them up to thousandths, [`Quantity::round_up_milli`]);
//! so a field that only passes through must keep its text, and this type is for computing.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

const NANO: i128 = 1_000_000_000;
/// Kubernetes caps what does not fit its fast representation.
const MAX: i128 = i64::MAX as i128 * NANO;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// The family of suffixes an amount is written with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `500m`, `2k`.
    #[default]
    DecimalSI,
    /// `64Mi`.
    BinarySI,
    /// `1e3`.
    DecimalExponent,
}

/// An amount and how it likes to be written. Equality and order look at the amount only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

impl Quantity {
    /// Zero.
    pub const ZERO: Quantity = Quantity { nano: 0, format: Format::DecimalSI };

    /// A whole number.
    pub fn new(value: i64, format: Format) -> Self {
        Quantity { nano: i128::from(value) * NANO, format }
    }

    /// A number of thousandths, `250m`.
    pub fn from_milli(milli: i64) -> Self {
        Quantity { nano: i128::from(milli) * (NANO / 1000), format: Format::DecimalSI }
    }

    /// A number of bytes, written with binary suffixes.
    pub fn from_bytes(bytes: i64) -> Self {
        Quantity::new(bytes, Format::BinarySI)
    }

    /// Reads a JSON value as Kubernetes does: a text (blanks around it are dropped) or a number.
    pub fn from_json(value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::String(text) => Quantity::parse(text.trim()),
            serde_json::Value::Number(number) => Quantity::parse(&number.to_string()),
            _ => None,
        }
    }

    /// Reads `<sign><digits>.<digits><suffix>`; `None` if the text is anything else. What is finer than a billionth is
    /// rounded away from zero.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let whole_end = rest.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, rest) = rest.split_at(whole_end);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(rest.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len())),
            None => ("", rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (mut format, multiplier) = suffix_of(suffix)?;
        let nano = scale(whole, fraction, multiplier);
        if format == Format::BinarySI && nano < NANO {
            format = Format::DecimalSI;
        }
        Some(Quantity { nano: if negative { -nano } else { nano }, format })
    }

    /// The amount in whole units, rounded away from zero.
    pub fn value(&self) -> i64 {
        self.scaled(NANO)
    }

    /// The amount in thousandths, rounded away from zero.
    pub fn milli_value(&self) -> i64 {
        self.scaled(NANO / 1000)
    }

    /// The nearest floating-point number, for arithmetic that cannot be exact.
    pub fn as_f64(&self) -> f64 {
        self.nano as f64 / NANO as f64
    }

    /// How the amount is written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether the amount is zero.
    pub fn is_zero(&self) -> bool {
        self.nano == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        self.nano.signum() as i32
    }

    /// Whether the amount is a whole number.
    pub fn is_integer(&self) -> bool {
        self.nano % NANO == 0
    }

    /// The amount rounded away from zero to thousandths: the finest a pod may ask for.
    pub fn round_up_milli(self) -> Self {
        Quantity { nano: div_away(self.nano, NANO / 1000) * (NANO / 1000), ..self }
    }

    fn scaled(&self, unit: i128) -> i64 {
        let value = div_away(self.nano, unit);
        i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
    }

    fn with(self, nano: i128, other: Quantity) -> Quantity {
        Quantity { nano, format: if self.nano == 0 { other.format } else { self.format } }
    }
}

fn div_away(nano: i128, unit: i128) -> i128 {
    nano / unit + if nano % unit == 0 { 0 } else { nano.signum() }
}

/// What one unit of a suffix is worth.
enum Multiplier {
    Ten(i32),
    Two(u32),
}

fn suffix_of(suffix: &str) -> Option<(Format, Multiplier)> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Some((Format::DecimalSI, Multiplier::Ten(*exponent)));
    }
    if let Some(n) = BINARY.iter().skip(1).position(|s| *s == suffix) {
        return Some((Format::BinarySI, Multiplier::Two(10 * (n as u32 + 1))));
    }
    let digits = suffix.strip_prefix(['e', 'E'])?;
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let exponent: i32 = digits.parse().ok()?;
    Some((Format::DecimalExponent, Multiplier::Ten(exponent)))
}

/// The digits as billionths, capped, rounded up.
fn scale(whole: &str, fraction: &str, multiplier: Multiplier) -> i128 {
    let (mantissa, mut exponent) = match digits(whole.bytes().chain(fraction.bytes())) {
        Some(mantissa) => (mantissa, -(fraction.len() as i64)),
        // More digits than fit: those of the fraction cannot matter then, unless the whole part is short.
        None => match digits(whole.bytes()) {
            None => return MAX,
            Some(_) => {
                let kept = &fraction[..fraction.len().min(18)];
                let mantissa = digits(whole.bytes().chain(kept.bytes())).unwrap_or(i128::MAX / NANO / NANO);
                (mantissa + 1, -(kept.len() as i64))
            }
        },
    };
    let mut value = mantissa;
    match multiplier {
        Multiplier::Ten(e) => exponent += i64::from(e),
        Multiplier::Two(e) => match value.checked_mul(1i128 << e) {
            Some(v) => value = v,
            None => return MAX,
        },
    }
    exponent += 9;
    if value == 0 {
        return 0;
    }
    while exponent > 0 {
        value = match value.checked_mul(10) {
            Some(v) if v < i128::MAX / 4 => v,
            _ => return MAX,
        };
        exponent -= 1;
    }
    let mut exact = true;
    while exponent < 0 && value != 0 {
        exact &= value % 10 == 0;
        value /= 10;
        exponent += 1;
    }
    if exact { value } else { value + 1 }
}

fn digits(bytes: impl Iterator<Item = u8>) -> Option<i128> {
    let mut value = 0i128;
    for b in bytes {
        value = value.checked_mul(10)?.checked_add(i128::from(b - b'0'))?;
    }
    Some(value)
}

/// The canonical form: no fraction, the largest suffix that needs none.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        if self.format == Format::BinarySI && self.nano.abs() >= 1024 * NANO && self.is_integer() {
            let (mut value, mut power) = (self.nano / NANO, 0);
            while value % 1024 == 0 && power + 1 < BINARY.len() {
                value /= 1024;
                power += 1;
            }
            return write!(f, "{value}{}", BINARY[power]);
        }
        let (mut value, mut exponent) = (self.nano, -9i32);
        let last = if self.format == Format::DecimalExponent { i32::MAX } else { 18 };
        while value % 1000 == 0 && exponent < last {
            value /= 1000;
            exponent += 3;
        }
        match self.format {
            Format::DecimalExponent if exponent != 0 => write!(f, "{value}e{exponent}"),
            Format::DecimalExponent => write!(f, "{value}"),
            _ => {
                let suffix = DECIMAL.iter().find(|(_, e)| *e == exponent).map_or("", |(s, _)| *s);
                write!(f, "{value}{suffix}")
            }
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

/// Sums keep the format of the left side, or of the right one if the left is zero.
impl Add for Quantity {
    type Output = Quantity;
    fn add(self, other: Quantity) -> Quantity {
        self.with(self.nano.saturating_add(other.nano), other)
    }
}

impl Sub for Quantity {
    type Output = Quantity;
    fn sub(self, other: Quantity) -> Quantity {
        self.with(self.nano.saturating_sub(other.nano), other)
    }
}

impl Neg for Quantity {
    type Output = Quantity;
    fn neg(self) -> Quantity {
        Quantity { nano: -self.nano, ..self }
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Quantity) {
        *self = *self + other;
    }
}

impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Quantity) {
        *self = *self - other;
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Quantity>>(items: I) -> Quantity {
        items.fold(Quantity::ZERO, |sum, item| sum + item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms() {
        for (text, canonical) in [
            ("0", "0"),
            ("0Mi", "0"),
            ("1", "1"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.", "1"),
            ("+1", "1"),
            ("-1500m", "-1500m"),
            ("1000", "1k"),
            ("12000k", "12M"),
            ("1024Mi", "1Gi"),
            ("1000Mi", "1000Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1Ki", "1Ki"),
            ("1023", "1023"),
            ("0.1Ki", "102400m"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("100e1", "1e3"),
            ("12e-1", "1200e-3"),
            ("1E", "1E"),
            ("8Ei", "8Ei"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("1.0000000001", "1000000001n"),
            ("128974848", "128974848"),
            ("129e6", "129e6"),
            ("99999999999999999999999999999999999999999999999", "9223372036854775807"),
        ] {
            assert_eq!(Quantity::parse(text).map(|q| q.to_string()).as_deref(), Some(canonical), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for bad in
            ["", ".", "-", "+", "1i", "1.1.M", "1+1.0M", "0.1mi", "aoeu", " 1", "1 ", "-3.01e-", "1K", "1kB", "1e", "1é", "e3"]
        {
            assert_eq!(Quantity::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn rounding_and_arithmetic() {
        let q = |t: &str| Quantity::parse(t).unwrap();
        assert_eq!((q("1500m").value(), q("1500m").milli_value()), (2, 1500));
        assert_eq!((q("-1500m").value(), q("100u").milli_value()), (-2, 1));
        assert_eq!(q("1Gi").value(), 1 << 30);
        assert_eq!((q("1Gi") + q("1Gi")).to_string(), "2Gi");
        assert_eq!((Quantity::ZERO + q("512Mi") + q("512Mi")).to_string(), "1Gi");
        assert_eq!((q("1") - q("250m")).to_string(), "750m");
        assert_eq!(q("100u").round_up_milli().to_string(), "1m");
        assert!(q("1Gi") > q("1G") && q("1000m") == q("1"));
    }

    #[test]
    fn absurd_exponents_do_not_hang() {
        assert_eq!(Quantity::parse("1e2000000000").map(|q| q.value()), Some(i64::MAX));
        assert_eq!(Quantity::parse("1e-2000000000").map(|q| q.to_string()).as_deref(), Some("1e-9"));
        assert_eq!(Quantity::parse("0e2000000000"), Some(Quantity::ZERO));
    }
}
