//! The reader of JSONPath templates. It takes exactly what kubectl's reader takes, oddities included: a quoted key is read
//! as a path (so its dots are escaped), and a union is split at its commas first.

use serde_json::Value;

use super::{Node, Step};

/// Filters and unions contain expressions; no sensible template nests them deeper.
const MAX_DEPTH: u32 = 16;

/// An action: `range` and its expression, `end`, or an expression.
enum Action {
    Range(Vec<Step>),
    End,
    Expression(Vec<Step>),
}

/// Reads a whole template.
pub(super) fn template(text: &str) -> Result<Vec<Node>, String> {
    // The bodies that are open: the outermost first, each with the expression of the range it belongs to.
    let mut open: Vec<(Vec<Step>, Vec<Node>)> = vec![(Vec::new(), Vec::new())];
    let mut rest = text;
    while !rest.is_empty() {
        let start = rest.find('{').unwrap_or(rest.len());
        let (before, after) = rest.split_at(start);
        let body = open.last_mut().map(|(_, body)| body).ok_or("unreachable")?;
        if !before.is_empty() {
            body.push(Node::Text(before.to_owned()));
        }
        let Some(inside) = after.strip_prefix('{') else { break };
        let mut reader = Reader { rest: inside, depth: 0 };
        match reader.action()? {
            Action::Expression(steps) => body.push(Node::Action(steps)),
            Action::Range(_) if open.len() > MAX_DEPTH as usize => return Err("too many nested ranges".to_owned()),
            Action::Range(steps) => open.push((steps, Vec::new())),
            Action::End => {
                let (steps, nodes) = open.pop().ok_or("unreachable")?;
                let (_, outer) = open.last_mut().ok_or("not in range, nothing to end")?;
                outer.push(Node::Range(steps, nodes));
            }
        }
        rest = reader.rest;
    }
    while open.len() > 1 {
        if let (Some((steps, nodes)), Some((_, outer))) = (open.pop(), open.last_mut()) {
            outer.push(Node::Range(steps, nodes));
        }
    }
    Ok(open.pop().map(|(_, nodes)| nodes).unwrap_or_default())
}

struct Reader<'a> {
    rest: &'a str,
    depth: u32,
}

fn is_terminator(c: char) -> bool {
    matches!(c, '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}' | ' ' | '\t' | '\n' | '\r')
}

impl<'a> Reader<'a> {
    /// Reads up to and including the closing brace.
    fn action(&mut self) -> Result<Action, String> {
        let mut steps = Vec::new();
        let (mut range, mut end) = (false, false);
        loop {
            if let Some(rest) = self.rest.strip_prefix('}') {
                self.rest = rest;
                return Ok(if range {
                    Action::Range(steps)
                } else if end {
                    Action::End
                } else {
                    Action::Expression(steps)
                });
            }
            if let Some(rest) = self.rest.strip_prefix("[?(") {
                self.rest = rest;
                steps.push(self.filter()?);
                continue;
            }
            if let Some(rest) = self.rest.strip_prefix("..") {
                // The second dot begins the field that is looked for, if there is one.
                self.rest = if rest.starts_with(['[', '*']) || rest.is_empty() { rest } else { &self.rest[1..] };
                steps.push(Step::Recursive);
                continue;
            }
            let Some(c) = self.rest.chars().next() else { return Err("unclosed action".to_owned()) };
            let after = &self.rest[c.len_utf8()..];
            match c {
                '\n' | '\r' => return Err("unclosed action".to_owned()),
                ' ' | '@' | '$' => self.rest = after,
                '[' => {
                    self.rest = after;
                    self.array(&mut steps)?;
                }
                '"' | '\'' => {
                    self.rest = after;
                    steps.push(Step::Literal(Value::from(self.quoted(c)?)));
                }
                '.' => {
                    self.rest = after;
                    let name = self.word();
                    steps.push(if name == "*" { Step::Wildcard } else { Step::Field(name.replace('\\', "")) });
                }
                '+' | '-' | '0'..='9' => steps.push(Step::Literal(self.number()?)),
                c if c.is_alphanumeric() || c == '_' => match self.word() {
                    "range" => range = true,
                    "end" => end = true,
                    "true" => steps.push(Step::Literal(Value::Bool(true))),
                    "false" => steps.push(Step::Literal(Value::Bool(false))),
                    other => return Err(format!("unrecognized identifier {other}")),
                },
                c => return Err(format!("unrecognized character in action: U+{:04X} '{c}'", u32::from(c))),
            }
        }
    }

    /// An expression that stands alone in `text`.
    fn expression(text: &str, depth: u32) -> Result<Vec<Step>, String> {
        if depth > MAX_DEPTH {
            return Err("too many nested expressions".to_owned());
        }
        let closed = format!("{text}}}");
        match (Reader { rest: &closed, depth }).action()? {
            Action::Expression(steps) => Ok(steps),
            _ => Err("unrecognized identifier range".to_owned()),
        }
    }

    /// Up to the next terminator that no backslash stands before.
    fn word(&mut self) -> &'a str {
        let mut escaped = false;
        let end = self.rest.find(|c: char| match c {
            _ if escaped => {
                escaped = false;
                false
            }
            '\\' => {
                escaped = true;
                false
            }
            c => is_terminator(c),
        });
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn number(&mut self) -> Result<Value, String> {
        let end = self.rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E')));
        let (text, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        if let Ok(n) = text.parse::<i64>() {
            return Ok(Value::from(n));
        }
        text.parse::<f64>().ok().filter(|f| f.is_finite()).map(Value::from).ok_or_else(|| format!("cannot parse number {text}"))
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut out = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(out);
                }
                '\n' => break,
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some('r') => out.push('\r'),
                    Some('a') => out.push('\u{7}'),
                    Some('b') => out.push('\u{8}'),
                    Some('f') => out.push('\u{c}'),
                    Some('v') => out.push('\u{b}'),
                    Some('u') => {
                        let hex: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                        let code = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                        out.push(code.ok_or("invalid syntax")?);
                    }
                    Some(c @ ('\\' | '\'' | '"')) => out.push(c),
                    Some(_) => return Err("invalid syntax".to_owned()),
                    None => break,
                },
                c => out.push(c),
            }
        }
        Err("unterminated quoted string".to_owned())
    }

    fn array(&mut self, steps: &mut Vec<Step>) -> Result<(), String> {
        let end = self.rest.find([']', '\n']).filter(|e| self.rest[*e..].starts_with(']'));
        let (text, rest) = self.rest.split_at(end.ok_or("unterminated array")?);
        self.rest = &rest[1..];
        if text.contains(',') {
            let part = |part: &str| Reader::expression(&format!("[{}]", part.trim_matches(' ')), self.depth + 1);
            steps.push(Step::Union(text.split(',').map(part).collect::<Result<_, _>>()?));
            return Ok(());
        }
        if let Some(key) = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')).filter(|t| !t.contains('\'')) {
            steps.extend(Reader::expression(&format!(".{key}"), self.depth + 1)?);
            return Ok(());
        }
        let invalid = || format!("invalid array index {text}");
        let number = |part: Option<&str>| match part {
            None | Some("") => Ok(None),
            Some(n) if n.strip_prefix('-').unwrap_or(n).bytes().all(|b| b.is_ascii_digit()) => {
                n.parse().map(Some).map_err(|_| invalid())
            }
            Some(_) => Err(invalid()),
        };
        let text = if text == "*" { ":" } else { text };
        let mut parts = text.split(':');
        let (start, end, step) = (number(parts.next())?, number(parts.next())?, number(parts.next())?);
        if parts.next().is_some() {
            return Err(invalid());
        }
        steps.push(Step::Slice { start, end, step, single: start.is_some() && !text.contains(':') });
        Ok(())
    }

    /// `[?(left operator right)]` or `[?(left)]`; a parenthesis inside quotes does not end it.
    fn filter(&mut self) -> Result<Step, String> {
        let mut pair = None;
        let mut closed = false;
        let mut before = '\0';
        let end = self.rest.find(|c: char| {
            let stop = match (c, pair) {
                ('\n', _) => true,
                ('"' | '\'', None) => {
                    pair = Some(c);
                    false
                }
                ('"' | '\'', Some(p)) => {
                    closed |= p == c && before != '\\';
                    false
                }
                (')', _) => pair.is_some() == closed,
                _ => false,
            };
            before = c;
            stop
        });
        let (text, rest) = self.rest.split_at(end.ok_or("unterminated filter")?);
        let rest = rest.strip_prefix(')').ok_or("unterminated filter")?;
        self.rest = rest.strip_prefix(']').ok_or("unclosed array expect ]")?;
        let is_operator = |c: char| matches!(c, '!' | '<' | '>' | '=');
        let depth = self.depth + 1;
        let split = text.find(is_operator).filter(|at| *at > 0).and_then(|at| {
            let (left, rest) = text.split_at(at);
            let (operator, right) = rest.split_at(rest.find(|c| !is_operator(c))?);
            Some((left, operator, right))
        });
        Ok(match split {
            Some((left, operator, right)) => Step::Filter {
                left: Reader::expression(left, depth)?,
                operator: operator.to_owned(),
                right: Reader::expression(right, depth)?,
            },
            None => Step::Filter { left: Reader::expression(text, depth)?, operator: "exists".to_owned(), right: Vec::new() },
        })
    }
}
