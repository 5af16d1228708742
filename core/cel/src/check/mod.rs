//! What can be known of an expression before it runs: its type, what is wrong with it, and what it can cost.
//!
//! [`check`] finds types as cel-go does and says what is wrong in its words. Nothing here knows kinds or requests; whoever
//! asks declares the variables in an [`Env`].

mod call_cost;
mod cost;
mod decl;
mod infer;
mod range;
mod table;
mod tree;
mod types;
mod unify;

pub use decl::{Decl, Step};
pub use types::{Object, Type};

pub(crate) use table::is_known;

use std::collections::BTreeMap;

use crate::ast::Expr;
use crate::lexer::Failure;
use crate::value::Value;
use crate::{CompileError, Program};
use infer::Found;
use tree::{Kind, Tree};

/// The variables that an expression may name, with their types.
#[derive(Clone, Debug, Default)]
pub struct Env {
    variables: BTreeMap<String, Type>,
    /// Types of objects that expressions may make.
    made: BTreeMap<String, Type>,
}

impl Env {
    /// No variables.
    pub fn new() -> Self {
        Env::default()
    }

    /// With one more variable.
    pub fn with(mut self, name: &str, of: Type) -> Self {
        self.variables.insert(name.to_owned(), of);
        self
    }

    /// With a type of objects that expressions may make: `Object{…}`. An open one has further types below it: `Object.spec{…}`.
    pub fn with_made(mut self, of: Type) -> Self {
        self.made.insert(of.to_string(), of);
        self
    }

    fn made(&self, name: &str) -> Option<Type> {
        let open = |of: &&Type| matches!(of, Type::Object(object) if object.open);
        let below = || self.made.get(name.split('.').next()?).filter(open).map(|_| Type::open_object(name));
        self.made.get(name).cloned().or_else(below)
    }
}

/// What is known of an expression in which nothing is wrong.
pub struct Checked {
    tree: Tree,
    found: Found,
}

impl Checked {
    /// The type of the whole.
    pub fn result(&self) -> &Type {
        self.found.types.get(self.tree.root()).unwrap_or(&Type::Dyn)
    }

    /// The most that it can cost if all its variables are of this type.
    pub fn cost(&self, root: &Decl) -> u64 {
        cost::estimate(self, root)
    }

    /// Whether the expression names a variable.
    pub fn names(&self, variable: &str) -> bool {
        self.tree.names(variable)
    }
}

/// Reads and checks an expression.
pub fn check(source: &str, env: &Env) -> Result<Checked, CompileError> {
    Program::read(source)?.check(env)
}

/// Checks an expression that was read; tells all that is wrong.
pub(crate) fn check_expr(expr: &Expr, env: &Env) -> Result<Checked, Vec<Failure>> {
    let Some(tree) = Tree::of(expr) else { return Err(vec![(0, "expression is too complex to check".to_owned())]) };
    let mut found = infer::infer(&tree, env);
    if found.wrong.is_empty() {
        found.wrong = literals(&tree);
    }
    if found.wrong.is_empty() { Ok(Checked { tree, found }) } else { Err(found.wrong) }
}

/// Texts that are given to functions which cannot read them.
fn literals(tree: &Tree) -> Vec<Failure> {
    let mut wrong = Vec::new();
    for node in &tree.nodes {
        let Kind::Call { name, arguments, .. } = &node.kind else { continue };
        let Some(argument) = arguments.last().and_then(|id| tree.nodes.get(*id)) else { continue };
        let Kind::Literal(Value::Text(text)) = &argument.kind else { continue };
        let readable = match name.as_str() {
            "duration" => crate::parse_duration(text).is_some(),
            "timestamp" => object::Time::parse(text).is_some(),
            // Classes of Unicode are known to Kubernetes, if not to us.
            "matches" => text.contains("\\p") || text.contains("\\P") || regex_lite::Regex::new(text).is_ok(),
            _ => true,
        };
        if !readable {
            wrong.push((argument.at, format!("invalid {name} argument")));
        }
    }
    wrong
}
