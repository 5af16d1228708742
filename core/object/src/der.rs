//! DER, as far as certificates need it: elements are read one after another, and written around their contents. And PEM around it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Tags.
pub const INTEGER: u8 = 0x02;
/// A string of bits.
pub const BIT_STRING: u8 = 0x03;
/// A string of bytes.
pub const OCTET_STRING: u8 = 0x04;
/// A list.
pub const SEQUENCE: u8 = 0x30;
/// A set.
pub const SET: u8 = 0x31;

/// One element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element<'a> {
    /// What it is.
    pub tag: u8,
    /// What is in it.
    pub contents: &'a [u8],
    /// All of it.
    pub raw: &'a [u8],
}

/// The first element, and what follows it.
pub fn read(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ 0..0x80 => (short, rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
            let value = bytes.iter().try_fold(0usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)));
            (value?, rest)
        }
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    let raw = der.get(..der.len() - rest.len())?;
    Some((Element { tag: *tag, contents, raw }, rest))
}

/// The elements that follow one another, up to the first that is none.
pub fn elements(mut der: &[u8]) -> Vec<Element<'_>> {
    let mut list = Vec::new();
    while let Some((element, rest)) = read(der) {
        list.push(element);
        der = rest;
    }
    list
}

/// An element around its contents.
pub fn write(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let length: usize = contents.iter().map(|part| part.len()).sum();
    let mut der = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => der.push(short),
        _ => {
            let bytes = (length as u64).to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            der.push(0x80 | (8 - zeros) as u8);
            der.extend(&bytes[zeros..]);
        }
    }
    contents.iter().for_each(|part| der.extend_from_slice(part));
    der
}

/// A positive number, given as its bytes.
pub fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = bytes.get(zeros..).filter(|rest| !rest.is_empty()).unwrap_or(&[0]);
    let sign: &[u8] = if bytes.first().is_some_and(|byte| *byte >= 0x80) { &[0] } else { &[] };
    write(INTEGER, &[sign, bytes])
}

/// The contents of the first block of PEM, and its label.
pub fn from_pem(text: &str) -> Option<(&str, Vec<u8>)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    // Headers stand before the contents; they say nothing that is of use here.
    let body: String = body.lines().filter(|line| !line.contains(':')).flat_map(|line| line.trim().chars()).collect();
    Some((label, STANDARD.decode(body).ok()?))
}

/// A block of PEM.
pub fn to_pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0usize, 1, 127, 128, 255, 256, 70_000] {
            let contents = vec![7u8; length];
            let der = write(SEQUENCE, &[&contents]);
            let (element, rest) = read(&der).expect("it is one");
            assert_eq!((element.tag, element.contents, element.raw, rest), (SEQUENCE, &contents[..], &der[..], &[][..]));
            assert_eq!(from_pem(&to_pem("X", &der)), Some(("X", der.clone())));
            assert!(read(&der[..der.len() - 1]).is_none(), "cut short");
        }
        assert_eq!([integer(&[0, 0x80]), integer(&[]), integer(&[1])], [vec![2, 2, 0, 0x80], vec![2, 1, 0], vec![2, 1, 1]]);
        for nonsense in [&b""[..], b"0", b"0\x89", b"0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"0\x05ab"] {
            assert_eq!(elements(nonsense), []);
        }
    }
}
