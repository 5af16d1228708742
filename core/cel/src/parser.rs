//! Tokens into a tree. Macros (`has`, `all`, `map` …) become nodes of their own.

use crate::lexer::{Failure, Kind, Token, tokens};
use crate::value::Value;

/// Expressions nest no deeper than this.
const MAX_DEPTH: u32 = 64;

/// Operators, fields and calls of one expression, each of which may make the tree higher by one.
const MAX_LINKS: u32 = 200;

/// An expression and where it stands.
#[derive(Clone, Debug)]
pub struct Expr {
    pub at: usize,
    pub node: Node,
}

#[derive(Clone, Debug)]
pub enum Node {
    Literal(Value),
    Ident(String),
    Select {
        of: Box<Expr>,
        field: String,
        optional: bool,
    },
    Has {
        of: Box<Expr>,
        field: String,
    },
    Index {
        of: Box<Expr>,
        index: Box<Expr>,
        optional: bool,
    },
    Call {
        of: Option<Box<Expr>>,
        name: String,
        arguments: Vec<Expr>,
    },
    List(Vec<(Expr, bool)>),
    Map(Vec<(Expr, Expr, bool)>),
    /// `Object.spec{field: value, ?other: optional}`.
    Struct {
        name: String,
        fields: Vec<(String, Expr, bool)>,
    },
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Loop(Box<Loop>),
    Bind {
        name: String,
        value: Box<Expr>,
        body: Box<Expr>,
    },
    OptMap {
        of: Box<Expr>,
        name: String,
        body: Box<Expr>,
        flat: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopKind {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    TransformMap,
    TransformMapEntry,
}

/// `range.all(x, …)` and its like; with two variables the first is the index or key.
#[derive(Clone, Debug)]
pub struct Loop {
    pub kind: LoopKind,
    pub range: Expr,
    pub variables: Vec<String>,
    pub filter: Option<Expr>,
    pub body: Expr,
}

/// Reads a whole expression.
pub fn parse(source: &str) -> Result<Expr, Failure> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, depth: 0, links: 0 };
    let expr = parser.expression()?;
    match parser.peek() {
        Kind::End => Ok(expr),
        other => Err((parser.place(), format!("Syntax error: extraneous input {} expecting <EOF>", shown(other)))),
    }
}

fn shown(kind: &Kind) -> String {
    match kind {
        Kind::End => "'<EOF>'".to_owned(),
        Kind::Sign(sign) => format!("'{sign}'"),
        Kind::Ident(name) => format!("'{name}'"),
        Kind::Int(n) => format!("'{n}'"),
        Kind::Uint(n) => format!("'{n}u'"),
        Kind::Double(n) => format!("'{n}'"),
        Kind::Text(text) => format!("'{text:?}'"),
        Kind::Bytes(_) => "bytes".to_owned(),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    links: u32,
}

type Parsed = Result<Expr, Failure>;

impl Parser {
    fn peek(&self) -> &Kind {
        self.tokens.get(self.at).map_or(&Kind::End, |token| &token.kind)
    }

    fn place(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |token| token.at)
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
        Err((self.place(), format!("Syntax error: mismatched input {} expecting '{sign}'", shown(self.peek()))))
    }

    fn name(&mut self) -> Result<String, Failure> {
        match self.peek().clone() {
            Kind::Ident(name) => {
                self.at += 1;
                Ok(name)
            }
            other => Err((self.place(), format!("Syntax error: no viable alternative at input {}", shown(&other)))),
        }
    }

    /// Counts what makes the tree higher without nesting, so that walking it is bounded.
    fn link(&mut self) -> Result<(), Failure> {
        self.links += 1;
        if self.links > MAX_LINKS { Err((self.place(), "expression recursion limit exceeded".to_owned())) } else { Ok(()) }
    }

    fn expression(&mut self) -> Parsed {
        if self.depth >= MAX_DEPTH {
            return Err((self.place(), "expression recursion limit exceeded".to_owned()));
        }
        self.depth += 1;
        let result = self.conditional();
        self.depth -= 1;
        result
    }

    fn conditional(&mut self) -> Parsed {
        let condition = self.or()?;
        let at = self.place();
        if !self.take("?") {
            return Ok(condition);
        }
        let then = self.or()?;
        self.expect(":")?;
        let other = self.expression()?;
        Ok(Expr { at, node: Node::If(Box::new(condition), Box::new(then), Box::new(other)) })
    }

    fn or(&mut self) -> Parsed {
        let mut left = self.and()?;
        while self.is("||") {
            self.link()?;
            let at = self.place();
            self.at += 1;
            left = Expr { at, node: Node::Or(Box::new(left), Box::new(self.and()?)) };
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed {
        let mut left = self.relation()?;
        while self.is("&&") {
            self.link()?;
            let at = self.place();
            self.at += 1;
            left = Expr { at, node: Node::And(Box::new(left), Box::new(self.relation()?)) };
        }
        Ok(left)
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
        while let Some((at, operator)) = self.operator(known) {
            self.link()?;
            left = Expr { at, node: Node::Binary(operator, Box::new(left), Box::new(next(self)?)) };
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
        let mut expr = self.member()?;
        if nots % 2 == 1 {
            expr = Expr { at, node: Node::Not(Box::new(expr)) };
        }
        if minuses % 2 == 1 {
            expr = match expr.node {
                Node::Literal(Value::Int(n)) => Expr { at, node: Node::Literal(Value::Int(n.wrapping_neg())) },
                _ => Expr { at, node: Node::Negate(Box::new(expr)) },
            };
        }
        Ok(expr)
    }

    fn member(&mut self) -> Parsed {
        let mut expr = self.primary()?;
        loop {
            let at = self.place();
            if self.is(".?") || self.is(".") || self.is("[?") || self.is("[") {
                self.link()?;
            }
            if self.take(".?") {
                let field = self.name()?;
                expr = Expr { at, node: Node::Select { of: Box::new(expr), field, optional: true } };
            } else if self.take(".") {
                let field = self.name()?;
                expr = if self.take("(") {
                    let arguments = self.arguments(")")?;
                    method(at, expr, field, arguments)?
                } else {
                    Expr { at, node: Node::Select { of: Box::new(expr), field, optional: false } }
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
                expr = Expr { at: expr.at, node: Node::Struct { name, fields: self.fields()? } };
            } else {
                return Ok(expr);
            }
        }
    }

    /// The fields of an object, up to the closing brace.
    fn fields(&mut self) -> Result<Vec<(String, Expr, bool)>, Failure> {
        let mut all = Vec::new();
        while !self.take("}") {
            let optional = self.take("?");
            let field = self.name()?;
            self.expect(":")?;
            all.push((field, self.expression()?, optional));
            if !self.is("}") {
                self.expect(",")?;
            }
        }
        Ok(all)
    }

    fn arguments(&mut self, end: &str) -> Result<Vec<Expr>, Failure> {
        let mut all = Vec::new();
        while !self.take(end) {
            all.push(self.expression()?);
            if !self.is(end) {
                self.expect(",")?;
            }
        }
        Ok(all)
    }

    fn primary(&mut self) -> Parsed {
        let at = self.place();
        let kind = self.peek().clone();
        self.at += 1;
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
                _ if self.take("(") => {
                    let arguments = self.arguments(")")?;
                    return function(at, name, arguments);
                }
                _ => Node::Ident(name),
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
            other => {
                self.at -= 1;
                return Err((at, format!("Syntax error: mismatched input {} expecting an expression", shown(&other))));
            }
        };
        Ok(Expr { at, node })
    }

    fn list(&mut self) -> Result<Node, Failure> {
        let mut items = Vec::new();
        while !self.take("]") {
            let optional = self.take("?");
            items.push((self.expression()?, optional));
            if !self.is("]") {
                self.expect(",")?;
            }
        }
        Ok(Node::List(items))
    }

    fn map(&mut self) -> Result<Node, Failure> {
        let mut entries = Vec::new();
        while !self.take("}") {
            let optional = self.take("?");
            let key = self.expression()?;
            self.expect(":")?;
            entries.push((key, self.expression()?, optional));
            if !self.is("}") {
                self.expect(",")?;
            }
        }
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

/// A call without a receiver: `has` is a macro.
fn function(at: usize, name: String, mut arguments: Vec<Expr>) -> Parsed {
    if name == "has" {
        return match (arguments.pop(), arguments.is_empty()) {
            (Some(Expr { node: Node::Select { of, field, .. }, .. }), true) => Ok(Expr { at, node: Node::Has { of, field } }),
            _ => Err((at, "invalid argument to has() macro".to_owned())),
        };
    }
    Ok(Expr { at, node: Node::Call { of: None, name, arguments } })
}

/// The name of a variable that a macro introduces.
fn variable(expr: &Expr) -> Result<String, Failure> {
    match &expr.node {
        Node::Ident(name) => Ok(name.clone()),
        _ => Err((expr.at, "argument must be a simple name".to_owned())),
    }
}

/// A call on a receiver: loops are macros, and so is `cel.bind`.
fn method(at: usize, of: Expr, name: String, mut arguments: Vec<Expr>) -> Parsed {
    let kind = match name.as_str() {
        "all" => Some(LoopKind::All),
        "exists" => Some(LoopKind::Exists),
        "exists_one" | "existsOne" => Some(LoopKind::ExistsOne),
        "map" | "transformList" => Some(LoopKind::Map),
        "filter" => Some(LoopKind::Filter),
        "transformMap" => Some(LoopKind::TransformMap),
        "transformMapEntry" => Some(LoopKind::TransformMapEntry),
        _ => None,
    };
    let count = arguments.len();
    if let (Some(kind), 2..=4) = (kind, count) {
        let body = arguments.pop().unwrap_or_else(|| of.clone());
        // `map(x, filter, body)`; `all(i, x, body)`; `transformList(i, x, filter, body)`.
        let two =
            matches!(kind, LoopKind::All | LoopKind::Exists | LoopKind::ExistsOne) && count == 3 || name.starts_with("transform");
        let names = if two { 2 } else { 1 };
        let filter = if arguments.len() > names { arguments.pop() } else { None };
        let variables = arguments.iter().map(variable).collect::<Result<Vec<_>, _>>()?;
        if variables.len() != names {
            return Err((at, format!("invalid arguments of {name}()")));
        }
        return Ok(Expr { at, node: Node::Loop(Box::new(Loop { kind, range: of, variables, filter, body })) });
    }
    if matches!(name.as_str(), "optMap" | "optFlatMap") && count == 2 {
        let body = arguments.pop().map(Box::new);
        if let (Some(first), Some(body)) = (arguments.first(), body) {
            let node = Node::OptMap { of: Box::new(of), name: variable(first)?, body, flat: name == "optFlatMap" };
            return Ok(Expr { at, node });
        }
        return Err((at, format!("invalid arguments of {name}()")));
    }
    if let Node::Ident(space) = &of.node
        && (crate::functions::NAMESPACES.contains(&space.as_str())
            || crate::functions::SHARED.contains(&space.as_str()) && crate::functions::is_known(&format!("{space}.{name}")))
    {
        if space == "cel" && name == "bind" {
            return bind(at, arguments);
        }
        return Ok(Expr { at, node: Node::Call { of: None, name: format!("{space}.{name}"), arguments } });
    }
    Ok(Expr { at, node: Node::Call { of: Some(Box::new(of)), name, arguments } })
}

fn bind(at: usize, arguments: Vec<Expr>) -> Parsed {
    let Ok([name, value, body]) = <[Expr; 3]>::try_from(arguments) else {
        return Err((at, "cel.bind() takes three arguments".to_owned()));
    };
    Ok(Expr { at, node: Node::Bind { name: variable(&name)?, value: Box::new(value), body: Box::new(body) } })
}
