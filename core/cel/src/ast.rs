//! What expressions are read into.

use crate::value::Value;

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
    SortBy,
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
