//! Expressions with their macros expanded, as the checker and the estimator walk them: few kinds of nodes, each with a number.

use crate::ast::{Expr, Loop, LoopKind, Node as Source, Operator};
use crate::value::Value;

/// A node's number.
pub type Id = usize;

/// The variable in which a loop gathers its result; no expression can name it.
pub const GATHERED: &str = "@result";

/// Nodes of one expression; macros that copy their parts make more than were written.
const MOST_NODES: usize = 100_000;

/// An expression.
#[derive(Default)]
pub struct Tree {
    pub nodes: Vec<Node>,
}

/// A node, and where what it stands for was written.
pub struct Node {
    pub at: usize,
    pub kind: Kind,
}

pub enum Kind {
    Literal(Value),
    Ident(String),
    /// A field; `test` asks only whether it is there.
    Select {
        of: Id,
        field: String,
        test: bool,
    },
    Call {
        of: Option<Id>,
        name: String,
        arguments: Vec<Id>,
    },
    List(Vec<(Id, bool)>),
    Map(Vec<(Id, Id, bool)>),
    Struct {
        name: String,
        fields: Vec<(String, Id, bool)>,
    },
    Fold(Fold),
}

/// A loop over `range`: `gathered` begins as `start` and becomes `step` while `condition` holds; `result` is what it is worth.
pub struct Fold {
    pub range: Id,
    pub variable: String,
    pub second: Option<String>,
    pub gathered: String,
    pub start: Id,
    pub condition: Id,
    pub step: Id,
    pub result: Id,
}

impl Operator {
    /// The name of the function that an operator is.
    pub fn function(self) -> &'static str {
        match self {
            Operator::Equal => "_==_",
            Operator::NotEqual => "_!=_",
            Operator::Less => "_<_",
            Operator::LessEqual => "_<=_",
            Operator::Greater => "_>_",
            Operator::GreaterEqual => "_>=_",
            Operator::In => "@in",
            Operator::Add => "_+_",
            Operator::Subtract => "_-_",
            Operator::Multiply => "_*_",
            Operator::Divide => "_/_",
            Operator::Remainder => "_%_",
        }
    }
}

impl Tree {
    /// Expands an expression; the last node is all of it. `None` where its copies are too many.
    pub fn of(expr: &Expr) -> Option<Tree> {
        let mut tree = Tree::default();
        tree.expand(expr);
        (tree.nodes.len() < MOST_NODES).then_some(tree)
    }

    /// The number of the whole expression.
    pub fn root(&self) -> Id {
        self.nodes.len().saturating_sub(1)
    }

    /// What a node is.
    pub fn kind(&self, id: Id) -> Option<&Kind> {
        self.nodes.get(id).map(|node| &node.kind)
    }

    /// Whether any node names a variable.
    pub fn names(&self, variable: &str) -> bool {
        self.nodes.iter().any(|node| matches!(&node.kind, Kind::Ident(name) if name == variable))
    }

    fn add(&mut self, at: usize, kind: Kind) -> Id {
        self.nodes.push(Node { at, kind });
        self.nodes.len() - 1
    }

    fn call(&mut self, at: usize, name: &str, arguments: Vec<Id>) -> Id {
        self.add(at, Kind::Call { of: None, name: name.to_owned(), arguments })
    }

    fn method(&mut self, at: usize, of: Id, name: &str, arguments: Vec<Id>) -> Id {
        self.add(at, Kind::Call { of: Some(of), name: name.to_owned(), arguments })
    }

    fn ident(&mut self, at: usize, name: &str) -> Id {
        self.add(at, Kind::Ident(name.to_owned()))
    }

    fn literal(&mut self, at: usize, value: Value) -> Id {
        self.add(at, Kind::Literal(value))
    }

    fn expand(&mut self, expr: &Expr) -> Id {
        let at = expr.at;
        // What is too much is not expanded further; the count tells.
        if self.nodes.len() >= MOST_NODES {
            return self.literal(at, Value::Null);
        }
        match &expr.node {
            Source::Literal(value) => self.literal(at, value.clone()),
            Source::Ident(name) => self.ident(at, name),
            Source::Select { of, field, optional } => {
                let of = self.expand(of);
                if *optional {
                    let field = self.literal(at, Value::Text(field.as_str().into()));
                    return self.call(at, "_?._", vec![of, field]);
                }
                self.add(at, Kind::Select { of, field: field.clone(), test: false })
            }
            Source::Has { of, field } => {
                let of = self.expand(of);
                self.add(at, Kind::Select { of, field: field.clone(), test: true })
            }
            Source::Index { of, index, optional } => {
                let arguments = vec![self.expand(of), self.expand(index)];
                self.call(at, if *optional { "_[?_]" } else { "_[_]" }, arguments)
            }
            Source::Call { of, name, arguments } => {
                let of = of.as_ref().map(|of| self.expand(of));
                let arguments = arguments.iter().map(|argument| self.expand(argument)).collect();
                self.add(at, Kind::Call { of, name: name.clone(), arguments })
            }
            Source::List(items) => {
                let items = items.iter().map(|(item, optional)| (self.expand(item), *optional)).collect();
                self.add(at, Kind::List(items))
            }
            Source::Map(entries) => {
                let entries =
                    entries.iter().map(|(key, value, optional)| (self.expand(key), self.expand(value), *optional)).collect();
                self.add(at, Kind::Map(entries))
            }
            Source::Struct { name, fields } => {
                let fields =
                    fields.iter().map(|(field, value, optional)| (field.clone(), self.expand(value), *optional)).collect();
                self.add(at, Kind::Struct { name: name.clone(), fields })
            }
            Source::And(a, b) => self.operator(at, "_&&_", &[a, b]),
            Source::Or(a, b) => self.operator(at, "_||_", &[a, b]),
            Source::Not(a) => self.operator(at, "!_", &[a]),
            Source::Negate(a) => self.operator(at, "-_", &[a]),
            Source::If(a, b, c) => self.operator(at, "_?_:_", &[a, b, c]),
            Source::Binary(operator, a, b) => self.operator(at, operator.function(), &[a, b]),
            Source::Loop(each) => self.fold(at, each),
            Source::OptMap { of, name, body, flat } => self.opt_map(at, (of, name, body), *flat),
        }
    }

    fn operator(&mut self, at: usize, name: &str, arguments: &[&Expr]) -> Id {
        let arguments = arguments.iter().map(|argument| self.expand(argument)).collect();
        self.call(at, name, arguments)
    }

    fn fold(&mut self, at: usize, each: &Loop) -> Id {
        if each.kind == LoopKind::SortBy {
            return self.sort_by(at, each);
        }
        let range = self.expand(&each.range);
        self.fold_over(at, range, each)
    }

    /// What `all`, `map` and their like stand for.
    fn fold_over(&mut self, at: usize, range: Id, each: &Loop) -> Id {
        let gathered = |tree: &mut Tree| tree.ident(at, GATHERED);
        let mut variables = each.variables.iter().cloned();
        let variable = variables.next().unwrap_or_default();
        let filter = each.filter.as_ref().map(|filter| self.expand(filter));
        let body = self.expand(&each.body);
        let (start, condition) = match each.kind {
            LoopKind::All | LoopKind::Exists => {
                let start = self.literal(at, Value::Bool(each.kind == LoopKind::All));
                let mut so_far = gathered(self);
                if each.kind == LoopKind::Exists {
                    so_far = self.call(at, "!_", vec![so_far]);
                }
                (start, self.call(at, "@not_strictly_false", vec![so_far]))
            }
            LoopKind::ExistsOne => (self.literal(at, Value::Int(0)), self.literal(at, Value::Bool(true))),
            LoopKind::TransformMap | LoopKind::TransformMapEntry => {
                (self.add(at, Kind::Map(Vec::new())), self.literal(at, Value::Bool(true)))
            }
            _ => (self.add(at, Kind::List(Vec::new())), self.literal(at, Value::Bool(true))),
        };
        let so_far = gathered(self);
        let mut step = match each.kind {
            LoopKind::All => self.call(at, "_&&_", vec![so_far, body]),
            LoopKind::Exists => self.call(at, "_||_", vec![so_far, body]),
            LoopKind::ExistsOne => {
                let one = self.literal(at, Value::Int(1));
                let more = self.call(at, "_+_", vec![so_far, one]);
                self.either(at, body, more)
            }
            LoopKind::TransformMap => {
                let key = self.ident(at, &variable);
                self.call(at, "cel.@mapInsert", vec![so_far, key, body])
            }
            LoopKind::TransformMapEntry => self.call(at, "cel.@mapInsert", vec![so_far, body]),
            LoopKind::Filter => {
                let item = self.ident(at, &variable);
                let item = self.add(at, Kind::List(vec![(item, false)]));
                let more = self.call(at, "_+_", vec![so_far, item]);
                self.either(at, body, more)
            }
            LoopKind::Map | LoopKind::SortBy => {
                let item = self.add(at, Kind::List(vec![(body, false)]));
                self.call(at, "_+_", vec![so_far, item])
            }
        };
        if let Some(filter) = filter {
            step = self.either(at, filter, step);
        }
        let mut result = gathered(self);
        if each.kind == LoopKind::ExistsOne {
            let one = self.literal(at, Value::Int(1));
            result = self.call(at, "_==_", vec![result, one]);
        }
        let (gathered, second) = (GATHERED.to_owned(), variables.next());
        self.add(at, Kind::Fold(Fold { range, variable, second, gathered, start, condition, step, result }))
    }

    /// What was gathered changes only where a condition holds.
    fn either(&mut self, at: usize, condition: Id, changed: Id) -> Id {
        let same = self.ident(at, GATHERED);
        self.call(at, "_?_:_", vec![condition, changed, same])
    }

    /// A name for a value: a loop that never turns.
    fn bind(&mut self, at: usize, name: &str, value: Id, body: Id) -> Id {
        let range = self.add(at, Kind::List(Vec::new()));
        let condition = self.literal(at, Value::Bool(false));
        let (step, gathered) = (self.ident(at, name), name.to_owned());
        let variable = "#unused".to_owned();
        self.add(at, Kind::Fold(Fold { range, variable, second: None, gathered, start: value, condition, step, result: body }))
    }

    fn sort_by(&mut self, at: usize, each: &Loop) -> Id {
        const INPUT: &str = "@__sortBy_input__";
        let value = self.expand(&each.range);
        let (of, range) = (self.ident(at, INPUT), self.ident(at, INPUT));
        let keys = self.fold_over(at, range, each);
        let sorted = self.method(at, of, "@sortByAssociatedKeys", vec![keys]);
        self.bind(at, INPUT, value, sorted)
    }

    fn opt_map(&mut self, at: usize, (of, name, body): (&Expr, &str, &Expr), flat: bool) -> Id {
        let target = self.expand(of);
        let there = self.method(at, target, "hasValue", Vec::new());
        let target = self.expand(of);
        let value = self.method(at, target, "value", Vec::new());
        let body = self.expand(body);
        let mut mapped = self.bind(at, name, value, body);
        if !flat {
            mapped = self.call(at, "optional.of", vec![mapped]);
        }
        let none = self.call(at, "optional.none", Vec::new());
        self.call(at, "_?_:_", vec![there, mapped, none])
    }
}
