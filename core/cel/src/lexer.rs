//! Text into tokens.

/// A token and where it begins, in characters.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub at: usize,
    /// How many characters.
    pub length: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Ident(String),
    /// An operator or bracket.
    Sign(&'static str),
    End,
}

/// Longer signs first, so that `<=` is not read as `<`.
const SIGNS: [&str; 27] = [
    "&&", "||", "==", "!=", "<=", ">=", ".?", "[?", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",", "(", ")", "[",
    "]", "{", "}", "=",
];

pub type Failure = (usize, String);

/// Splits an expression; also tells what cannot be split.
pub fn tokens(source: &str) -> (Vec<Token>, Vec<Failure>) {
    let chars: Vec<char> = source.chars().collect();
    let (mut out, mut wrong) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c.is_whitespace() {
            at += 1;
        } else if chars.get(at..at + 2) == Some(&['/', '/']) {
            at += chars.iter().skip(at).take_while(|c| **c != '\n').count();
        } else {
            let next = match token(&chars, at) {
                Ok((kind, next)) => {
                    out.push(Token { at, length: next - at, kind });
                    next
                }
                Err((next, why)) => {
                    wrong.push((at, why));
                    next
                }
            };
            at = next.max(at + 1);
        }
    }
    out.push(Token { at: chars.len(), length: 0, kind: Kind::End });
    (out, wrong)
}

/// What no token begins with, from here to there.
fn unknown(chars: &[char], at: usize, next: usize) -> Failure {
    let text: String = chars.iter().take(next).skip(at).collect();
    (next, format!("Syntax error: token recognition error at: '{}'", text.replace('\n', "\\n")))
}

/// A token and where the next one begins; or where to go on, and what is wrong.
fn token(chars: &[char], at: usize) -> Result<(Kind, usize), Failure> {
    let rest = chars.get(at..).unwrap_or_default();
    let digit = |i: usize| rest.get(i).is_some_and(char::is_ascii_digit);
    if digit(0) || rest.first() == Some(&'.') && digit(1) {
        return number(rest, at);
    }
    let prefix: String = rest.iter().take_while(|c| c.is_ascii_alphabetic()).collect::<String>().to_ascii_lowercase();
    let quote = rest.get(prefix.len()).is_some_and(|c| matches!(c, '"' | '\''));
    if quote && matches!(prefix.as_str(), "" | "r" | "b" | "br" | "rb") {
        return text(rest, at, prefix.contains('r'), prefix.contains('b'), prefix.len())
            .map_err(|length| unknown(chars, at, at + length));
    }
    let is_ident = |c: &&char| c.is_ascii_alphanumeric() || **c == '_';
    if rest.first().is_some_and(|c| c.is_ascii_alphabetic() || *c == '_') {
        let name: String = rest.iter().take_while(is_ident).collect();
        let next = at + name.len();
        return Ok((Kind::Ident(name), next));
    }
    let sign = SIGNS.iter().find(|sign| sign.chars().enumerate().all(|(i, c)| rest.get(i) == Some(&c)));
    match sign {
        Some(sign) => Ok((Kind::Sign(sign), at + sign.len())),
        None => Err(unknown(chars, at, at + 1)),
    }
}

fn number(rest: &[char], at: usize) -> Result<(Kind, usize), Failure> {
    let wrong = |text: &str| (at + text.len(), "invalid int literal".to_owned());
    if rest.first() == Some(&'0') && rest.get(1).is_some_and(|c| matches!(c, 'x' | 'X')) {
        let digits: String = rest.iter().skip(2).take_while(|c| c.is_ascii_hexdigit()).collect();
        let value = u64::from_str_radix(&digits, 16).map_err(|_| wrong(&format!("0x{digits}")))?;
        let next = at + 2 + digits.len();
        if rest.get(2 + digits.len()).is_some_and(|c| matches!(c, 'u' | 'U')) {
            return Ok((Kind::Uint(value), next + 1));
        }
        return i64::try_from(value).map(|value| (Kind::Int(value), next)).map_err(|_| wrong(&format!("0x{digits}")));
    }
    let mut length = 0;
    let mut fraction = false;
    while let Some(c) = rest.get(length) {
        let exponent =
            matches!(c, 'e' | 'E') && rest.get(length + 1).is_some_and(|n| n.is_ascii_digit() || matches!(n, '+' | '-'));
        let signed = matches!(c, '+' | '-') && length > 0 && matches!(rest.get(length - 1), Some('e' | 'E'));
        let point = *c == '.' && rest.get(length + 1).is_some_and(char::is_ascii_digit) && !fraction;
        if !(c.is_ascii_digit() || exponent || signed || point) {
            break;
        }
        fraction |= exponent || point;
        length += 1;
    }
    let text: String = rest.iter().take(length).collect();
    if fraction {
        return text
            .parse()
            .map(|value| (Kind::Double(value), at + length))
            .map_err(|_| (at + length, "invalid double literal".to_owned()));
    }
    if rest.get(length).is_some_and(|c| matches!(c, 'u' | 'U')) {
        return text
            .parse()
            .map(|value| (Kind::Uint(value), at + length + 1))
            .map_err(|_| (at + length + 1, "invalid uint literal".to_owned()));
    }
    // The least integer is one more than the greatest, and is written with a sign before it.
    match text.parse::<u64>() {
        Ok(value) if value <= i64::MAX as u64 => Ok((Kind::Int(value as i64), at + length)),
        Ok(value) if value == 1 << 63 => Ok((Kind::Int(i64::MIN), at + length)),
        _ => Err(wrong(&text)),
    }
}

/// A text, or how many characters cannot be read as one.
fn text(rest: &[char], at: usize, raw: bool, bytes: bool, prefix: usize) -> Result<(Kind, usize), usize> {
    let quote = rest.get(prefix).copied().unwrap_or('"');
    let triple = rest.get(prefix..prefix + 3) == Some(&[quote; 3]);
    let width = if triple { 3 } else { 1 };
    let mut i = prefix + width;
    let mut out = Vec::new();
    let mut push = |c: char| out.extend(c.encode_utf8(&mut [0; 4]).bytes());
    loop {
        let Some(&c) = rest.get(i) else { return Err(i) };
        let closes = if triple { rest.get(i..i + 3) == Some(&[quote; 3]) } else { c == quote };
        if closes {
            break;
        }
        if c == '\\' && !raw {
            let (c, used) = escape(rest.get(i + 1..).unwrap_or_default()).ok_or(rest.len().min(i + 2))?;
            push(c);
            i += used + 1;
        } else if c == '\n' && !triple {
            return Err(i + 1);
        } else {
            push(c);
            i += 1;
        }
    }
    let next = at + i + width;
    if bytes {
        return Ok((Kind::Bytes(out), next));
    }
    Ok((Kind::Text(String::from_utf8_lossy(&out).into_owned()), next))
}

/// The character of an escape sequence, and how many characters it took after the backslash.
fn escape(rest: &[char]) -> Option<(char, usize)> {
    let simple = match rest.first()? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        c @ ('\\' | '"' | '\'' | '`' | '?') => *c,
        'x' | 'X' => return hex(rest, 2),
        'u' => return hex(rest, 4),
        'U' => return hex(rest, 8),
        c if c.is_digit(8) => {
            let text: String = rest.get(..3)?.iter().collect();
            return Some((char::from_u32(u32::from_str_radix(&text, 8).ok()?)?, 3));
        }
        _ => return None,
    };
    Some((simple, 1))
}

fn hex(rest: &[char], digits: usize) -> Option<(char, usize)> {
    let text: String = rest.get(1..=digits)?.iter().collect();
    Some((char::from_u32(u32::from_str_radix(&text, 16).ok()?)?, digits + 1))
}
