//! Tokens into a tree.

use crate::ast::{Expr, Node, Operator};
use crate::lexer::{Failure, Kind, Token, tokens};
use crate::value::Value;

/// Expressions nest no deeper than this.
const MAX_DEPTH: u32 = 64;

/// Trees are no higher than this; a chain of operators, fields or calls makes one higher with each link.
const MAX_HEIGHT: u32 = 250;

/// What an expression can begin with, as errors list it.
const BEGINNINGS: &str =
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// Reads a whole expression; tells all that is wrong.
pub fn parse(source: &str) -> Result<Expr, Vec<Failure>> {
    let (tokens, wrong) = tokens(source);
    let mut parser = Parser { source, tokens, at: 0, depth: 0, height: 0, wrong };
    let result = parser.expression().and_then(|expr| match parser.peek() {
        Kind::End => Ok(expr),
        _ if parser.tokens.len() == parser.at + 2 => {
            Err((parser.place(), format!("Syntax error: extraneous input {} expecting <EOF>", parser.shown())))
        }
        _ => Err((parser.place(), format!("Syntax error: mismatched input {} expecting <EOF>", parser.shown()))),
    });
    let mut wrong = parser.wrong;
    match result {
        Ok(expr) if wrong.is_empty() => return Ok(expr),
        Ok(_) => {}
        Err(why) => wrong.push(why),
    }
    Err(wrong)
}

pub struct Parser<'s> {
    source: &'s str,
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    /// How high the tree is that was read last.
    height: u32,
    /// What is wrong with macros, which does not end the reading.
    pub wrong: Vec<Failure>,
}

type Parsed = Result<Expr, Failure>;

impl Parser<'_> {
    fn peek(&self) -> &Kind {
        self.tokens.get(self.at).map_or(&Kind::End, |token| &token.kind)
    }

    fn place(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |token| token.at)
    }

    /// The text of the next token, as errors quote it.
    fn word(&self) -> String {
        let Some(token) = self.tokens.get(self.at).filter(|token| token.kind != Kind::End) else { return String::new() };
        self.source.chars().skip(token.at).take(token.length).collect()
    }

    fn shown(&self) -> String {
        let word = self.word();
        if word.is_empty() { "'<EOF>'".to_owned() } else { format!("'{word}'") }
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Kind::Sign(s) if *s == sign)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), Failure> {
        if self.take(sign) {
            return Ok(());
        }
        let (at, shown) = (self.place(), self.shown());
        let ends = matches!(self.peek(), Kind::End) && sign != ":" && sign != ",";
        let next = self.tokens.get(self.at + 1).is_some_and(|token| matches!(token.kind, Kind::Sign(s) if s == sign));
        Err((
            at,
            match (next, ends) {
                (true, _) => format!("Syntax error: extraneous input {shown} expecting '{sign}'"),
                (_, true) => format!("Syntax error: missing '{sign}' at {shown}"),
                _ => format!("Syntax error: mismatched input {shown} expecting '{sign}'"),
            },
        ))
    }

    fn name(&mut self) -> Result<String, Failure> {
        match self.peek().clone() {
            Kind::Ident(name) => {
                self.at += 1;
                Ok(name)
            }
            _ => Err((self.place(), format!("Syntax error: no viable alternative at input '.{}'", self.word()))),
        }
    }

    /// Puts one more node above trees of which the highest is so high; walking the whole is bounded by this.
    fn grow(&mut self, highest: u32) -> Result<(), Failure> {
        self.height = highest + 1;
        if self.height <= MAX_HEIGHT {
            return Ok(());
        }
        Err((self.place(), format!("expression recursion limit exceeded: {MAX_HEIGHT}")))
    }

    fn expression(&mut self) -> Parsed {
        if self.depth >= MAX_DEPTH {
            return Err((self.place(), format!("expression recursion limit exceeded: {MAX_DEPTH}")));
        }
        self.depth += 1;
        let result = self.conditional();
        self.depth -= 1;
        result
    }

    fn conditional(&mut self) -> Parsed {
        let condition = self.logical("||")?;
        let at = self.place();
        if !self.take("?") {
            return Ok(condition);
        }
        let mut high = self.height;
        let then = self.logical("||")?;
        high = high.max(self.height);
        self.expect(":")?;
        let other = self.expression()?;
        self.grow(high.max(self.height))?;
        Ok(Expr { at, node: Node::If(Box::new(condition), Box::new(then), Box::new(other)) })
    }

    /// A chain of `||` or `&&`. Any order of its parts gives the same, so the tree is as flat as it can be.
    fn logical(&mut self, sign: &'static str) -> Parsed {
        let part = |parser: &mut Self| if sign == "||" { parser.logical("&&") } else { parser.relation() };
        let mut parts = vec![part(self)?];
        let (mut places, mut high) = (Vec::new(), self.height);
        while self.is(sign) {
            places.push(self.place());
            self.at += 1;
            parts.push(part(self)?);
            high = high.max(self.height);
        }
        if !places.is_empty() {
            self.grow(high + places.len().ilog2())?;
        }
        Ok(balanced(sign, parts, &places))
    }

    fn operator(&mut self, known: &[(&str, Operator)]) -> Option<(usize, Operator)> {
        let at = self.place();
        let found = known.iter().find(|(text, _)| match self.peek() {
            Kind::Sign(sign) => sign == text,
            Kind::Ident(name) => name == text,
            _ => false,
        })?;
        self.at += 1;
        Some((at, found.1))
    }

    fn binary(&mut self, known: &[(&str, Operator)], next: fn(&mut Self) -> Parsed) -> Parsed {
        let mut left = next(self)?;
        let mut high = self.height;
        while let Some((at, operator)) = self.operator(known) {
            let right = next(self)?;
            self.grow(high.max(self.height))?;
            high = self.height;
            left = Expr { at, node: Node::Binary(operator, Box::new(left), Box::new(right)) };
        }
        Ok(left)
    }

    fn relation(&mut self) -> Parsed {
        use Operator::{Equal, Greater, GreaterEqual, In, Less, LessEqual, NotEqual};
        let known =
            [("==", Equal), ("!=", NotEqual), ("<=", LessEqual), (">=", GreaterEqual), ("<", Less), (">", Greater), ("in", In)];
        self.binary(&known, Self::sum)
    }

    fn sum(&mut self) -> Parsed {
        self.binary(&[("+", Operator::Add), ("-", Operator::Subtract)], Self::product)
    }

    fn product(&mut self) -> Parsed {
        let known = [("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)];
        self.binary(&known, Self::unary)
    }

    fn unary(&mut self) -> Parsed {
        let at = self.place();
        let (mut nots, mut minuses) = (0_u32, 0_u32);
        while self.take("!") {
            nots += 1;
        }
        while nots == 0 && self.take("-") {
            minuses += 1;
        }
        if minuses > 0 && *self.peek() == Kind::End {
            self.wrong.push((self.place(), "Syntax error: no viable alternative at input '-'".to_owned()));
        }
        let mut expr = self.member()?;
        if nots % 2 == 1 {
            expr = Expr { at, node: Node::Not(Box::new(expr)) };
        }
        if minuses % 2 == 1 {
            expr = match expr.node {
                Node::Literal(Value::Int(n)) => Expr { at, node: Node::Literal(Value::Int(n.wrapping_neg())) },
                Node::Literal(Value::Double(n)) => Expr { at, node: Node::Literal(Value::Double(-n)) },
                _ => Expr { at, node: Node::Negate(Box::new(expr)) },
            };
        }
        self.grow(self.height)?;
        Ok(expr)
    }

    fn member(&mut self) -> Parsed {
        let mut expr = self.primary()?;
        let mut high = self.height;
        loop {
            let at = self.place();
            if self.take(".?") {
                let field = self.name()?;
                expr = Expr { at, node: Node::Select { of: Box::new(expr), field, optional: true } };
                self.height = 0;
            } else if self.take(".") {
                let field = self.name()?;
                let open = self.place();
                self.height = 0;
                expr = if self.take("(") {
                    let arguments = self.arguments(")")?;
                    self.method(open, expr, field, arguments)
                } else {
                    select(at, expr, field)
                };
            } else if self.is("[?") || self.is("[") {
                let optional = self.is("[?");
                self.at += 1;
                let index = self.expression()?;
                self.expect("]")?;
                expr = Expr { at, node: Node::Index { of: Box::new(expr), index: Box::new(index), optional } };
            } else if self.is("{")
                && let Some(name) = dotted(&expr)
            {
                self.at += 1;
                expr = Expr { at, node: Node::Struct { name, fields: self.fields()? } };
            } else {
                self.height = high;
                return Ok(expr);
            }
            self.grow(high.max(self.height))?;
            high = self.height;
        }
    }

    /// The fields of an object, up to the closing brace.
    fn fields(&mut self) -> Result<Vec<(String, Expr, bool)>, Failure> {
        let (mut all, mut high) = (Vec::new(), 0);
        while !self.take("}") {
            let optional = self.take("?");
            let field = self.name()?;
            self.expect(":")?;
            all.push((field, self.expression()?, optional));
            high = high.max(self.height);
            if !self.is("}") && !self.take(",") {
                self.expect("}")?;
            }
        }
        self.height = high;
        Ok(all)
    }

    /// Expressions up to a sign; the height becomes that of the highest.
    fn arguments(&mut self, end: &str) -> Result<Vec<Expr>, Failure> {
        let (mut all, mut high) = (Vec::new(), 0);
        while !self.take(end) {
            all.push(self.expression()?);
            high = high.max(self.height);
            if !self.is(end) && !self.take(",") {
                self.expect(end)?;
            }
        }
        self.height = high;
        Ok(all)
    }

    fn primary(&mut self) -> Parsed {
        let at = self.place();
        let kind = self.peek().clone();
        self.at += 1;
        self.height = 1;
        let node = match kind {
            Kind::Int(n) => Node::Literal(Value::Int(n)),
            Kind::Uint(n) => Node::Literal(Value::Uint(n)),
            Kind::Double(n) => Node::Literal(Value::Double(n)),
            Kind::Text(text) => Node::Literal(Value::Text(text.into())),
            Kind::Bytes(bytes) => Node::Literal(Value::Bytes(bytes.into())),
            Kind::Ident(name) => match name.as_str() {
                "true" => Node::Literal(Value::Bool(true)),
                "false" => Node::Literal(Value::Bool(false)),
                "null" => Node::Literal(Value::Null),
                _ => {
                    if crate::escape::is_reserved(&name) {
                        self.wrong.push((at, format!("reserved identifier: {name}")));
                    }
                    let open = self.place();
                    if !self.take("(") {
                        return Ok(Expr { at, node: Node::Ident(name) });
                    }
                    let arguments = self.arguments(")")?;
                    self.grow(self.height)?;
                    return Ok(self.function(open, name, arguments));
                }
            },
            Kind::Sign("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Kind::Sign("[") => self.list()?,
            // An optional element at the head of a list reads as one sign.
            Kind::Sign("[?") => {
                self.at -= 1;
                if let Some(token) = self.tokens.get_mut(self.at) {
                    token.kind = Kind::Sign("?");
                }
                self.list()?
            }
            Kind::Sign("{") => self.map()?,
            _ => {
                self.at -= 1;
                return Err((at, format!("Syntax error: mismatched input {} expecting {BEGINNINGS}", self.shown())));
            }
        };
        Ok(Expr { at, node })
    }

    fn list(&mut self) -> Result<Node, Failure> {
        let (mut items, mut high) = (Vec::new(), 0);
        while !self.take("]") {
            let optional = self.take("?");
            items.push((self.expression()?, optional));
            high = high.max(self.height);
            if !self.is("]") && !self.take(",") {
                self.expect("]")?;
            }
        }
        self.grow(high)?;
        Ok(Node::List(items))
    }

    fn map(&mut self) -> Result<Node, Failure> {
        let (mut entries, mut high) = (Vec::new(), 0);
        while !self.take("}") {
            let optional = self.take("?");
            let key = self.expression()?;
            high = high.max(self.height);
            self.expect(":")?;
            entries.push((key, self.expression()?, optional));
            high = high.max(self.height);
            if !self.is("}") && !self.take(",") {
                self.expect("}")?;
            }
        }
        self.grow(high)?;
        Ok(Node::Map(entries))
    }
}

/// The names of an expression that is nothing but names.
fn dotted(expr: &Expr) -> Option<String> {
    let (mut expr, mut parts) = (expr, Vec::new());
    loop {
        match &expr.node {
            Node::Ident(name) => {
                parts.push(name.as_str());
                parts.reverse();
                return Some(parts.join("."));
            }
            Node::Select { of, field, optional: false } => {
                parts.push(field.as_str());
                expr = of;
            }
            _ => return None,
        }
    }
}

/// A field, or a type whose name has dots.
fn select(at: usize, of: Expr, field: String) -> Expr {
    let expr = Expr { at, node: Node::Select { of: Box::new(of), field, optional: false } };
    match dotted(&expr).filter(|name| crate::functions::TYPES.contains(&name.as_str())) {
        Some(name) => Expr { at, node: Node::Ident(name) },
        None => expr,
    }
}

/// A tree of parts, half of them on each side; the operator between them stands where it was written.
fn balanced(sign: &str, mut parts: Vec<Expr>, places: &[usize]) -> Expr {
    let middle = places.len() / 2;
    let Some(at) = places.get(middle).copied() else {
        return parts.pop().unwrap_or(Expr { at: 0, node: Node::Literal(Value::Null) });
    };
    let right = parts.split_off(middle + 1);
    let (before, after) = places.split_at(middle);
    let left = Box::new(balanced(sign, parts, before));
    let right = Box::new(balanced(sign, right, after.get(1..).unwrap_or_default()));
    Expr { at, node: if sign == "||" { Node::Or(left, right) } else { Node::And(left, right) } }
}
