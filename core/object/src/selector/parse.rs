//! The text form of label selectors: a lexer and a recursive-descent parser whose messages are Kubernetes'.

use super::{Operator, Requirement};
use crate::names;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Identifier,
    In,
    NotIn,
    Not,
    Open,
    Close,
    Comma,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    End,
}

type Token<'a> = (Kind, &'a str);

/// Reads a whole selector.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, String> {
    let mut parser = Parser { tokens: lex(text), at: 0 };
    let mut out = Vec::new();
    loop {
        match parser.peek() {
            (Kind::End, _) => return Ok(out),
            (Kind::Identifier | Kind::In | Kind::NotIn | Kind::Not, _) => {
                out.push(parser.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?);
                match parser.next() {
                    (Kind::End, _) => return Ok(out),
                    (Kind::Comma, _) => match parser.peek() {
                        (Kind::Identifier | Kind::In | Kind::NotIn | Kind::Not, _) => {}
                        (_, text) => return Err(format!("found '{text}', expected: identifier after ','")),
                    },
                    (_, text) => return Err(format!("found '{text}', expected: ',' or 'end of string'")),
                }
            }
            (_, text) => return Err(format!("found '{text}', expected: !, identifier, or 'end of string'")),
        }
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.at).copied().unwrap_or((Kind::End, ""))
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut kind, mut key) = self.next();
        let negated = kind == Kind::Not;
        if negated {
            (kind, key) = self.next();
        }
        if !matches!(kind, Kind::Identifier | Kind::In | Kind::NotIn) {
            return Err(format!("found '{key}', expected: identifier"));
        }
        let wrong = names::qualified_name(key);
        if !wrong.is_empty() {
            return Err(format!("<nil>: Invalid value: {key:?}: {}", wrong.join("; ")));
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek().0, Kind::End | Kind::Comma) {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        let operator = match self.next() {
            (Kind::In, _) => Operator::In,
            (Kind::NotIn, _) => Operator::NotIn,
            (Kind::Equals, _) => Operator::Equals,
            (Kind::DoubleEquals, _) => Operator::DoubleEquals,
            (Kind::NotEquals, _) => Operator::NotEquals,
            (Kind::Greater, _) => Operator::GreaterThan,
            (Kind::Less, _) => Operator::LessThan,
            (_, text) => return Err(format!("found '{text}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.value()?],
        };
        Requirement::new(key, operator, values)
    }

    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            (Kind::End | Kind::Comma, _) => Ok(String::new()),
            (Kind::Identifier | Kind::In | Kind::NotIn, text) => {
                self.at += 1;
                Ok(text.to_owned())
            }
            (_, text) => Err(format!("found '{text}', expected: identifier")),
        }
    }

    /// `(a,b)`. Where nothing stands between two separators the value is the empty text, so `()` asks for an empty label.
    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            (Kind::Open, _) => {}
            (_, text) => return Err(format!("found '{text}' expected: '('")),
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                (Kind::Identifier | Kind::In | Kind::NotIn, text) => {
                    values.push(text.to_owned());
                    match self.next() {
                        (Kind::Comma, _) => {}
                        (Kind::Close, _) => return Ok(values),
                        (_, text) => return Err(format!("found '{text}', expected: ',' or ')'")),
                    }
                }
                (Kind::Comma, _) => values.push(String::new()),
                (Kind::Close, _) => {
                    values.push(String::new());
                    return Ok(values);
                }
                (_, text) if values.is_empty() => return Err(format!("found '{text}', expected: ',', ')' or identifier")),
                (_, text) => return Err(format!("found '{text}', expected: ',', or identifier")),
            }
        }
    }
}

fn lex(text: &str) -> Vec<Token<'_>> {
    const SYMBOLS: [(&str, Kind); 9] = [
        ("==", Kind::DoubleEquals),
        ("!=", Kind::NotEquals),
        ("=", Kind::Equals),
        ("!", Kind::Not),
        ("(", Kind::Open),
        (")", Kind::Close),
        (",", Kind::Comma),
        (">", Kind::Greater),
        ("<", Kind::Less),
    ];
    let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(blank);
    while !rest.is_empty() {
        let (kind, length) = match SYMBOLS.iter().find(|(s, _)| rest.starts_with(s)) {
            Some((symbol, kind)) => (*kind, symbol.len()),
            None => {
                let end = rest.find(|c: char| blank(c) || "=!(),><".contains(c)).unwrap_or(rest.len());
                match &rest[..end] {
                    "in" => (Kind::In, end),
                    "notin" => (Kind::NotIn, end),
                    _ => (Kind::Identifier, end),
                }
            }
        };
        let (token, after) = rest.split_at(length);
        tokens.push((kind, token));
        rest = after.trim_start_matches(blank);
    }
    tokens
}
