//! Kubernetes' Common Expression Language: reading, checking and running expressions within a budget.
//!
//! Start at [`Program`]. Values are JSON seen through [`Value`]; nothing here knows kinds, requests or the store.
//! Invariants: every expression ends, because each step spends budget; nothing that is read or computed can panic.
//!
//! <https://kubernetes.io/docs/reference/using-api/cel/>
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod ast;
mod authorizer;
mod check;
mod escape;
mod eval;
mod functions;
mod lazy;
mod lexer;
mod libraries;
mod macros;
mod parser;
mod scope;
mod strings;
mod value;

pub use authorizer::{Authorizer, Check, Decision, Stage};
pub use check::{Checked, Decl, Env, Object, Step, Type, check};
pub use escape::{escaped, is_reserved};
pub use eval::{Activation, EvalError};
pub use lazy::{Compiled, Variables};
pub use strings::duration as parse_duration;
pub use value::{Key, Struct, Value};

use ast::Expr;

/// Expressions longer than this are not read.
const MOST_BYTES: usize = 16 * 1024;

/// More is not told of one expression.
const MOST_FAILURES: usize = 100;

/// An expression that was read and may be run any number of times.
#[derive(Clone, Debug)]
pub struct Program {
    source: String,
    expr: Expr,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// Where, in characters from 0, and what; in the order of the text.
    pub failures: Vec<(usize, String)>,
    source: String,
}

impl CompileError {
    fn new(source: &str, mut failures: Vec<(usize, String)>) -> Self {
        failures.sort_by_key(|(at, _)| *at);
        failures.truncate(MOST_FAILURES);
        CompileError { failures, source: source.to_owned() }
    }
}

impl std::fmt::Display for CompileError {
    /// As Kubernetes shows it: place, reason, and the line with a pointer.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (at, why)) in self.failures.iter().enumerate() {
            let before: String = self.source.chars().take(*at).collect();
            let line = before.matches('\n').count();
            let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count());
            let shown = self.source.split('\n').nth(line).unwrap_or_default().replace('\t', " ");
            let next = if i == 0 { "" } else { "\n" };
            write!(f, "{next}ERROR: <input>:{}:{}: {why}\n | {shown}\n | ", line + 1, column + 1)?;
            // Under wide characters stand wide signs.
            for c in shown.chars().take(column) {
                f.write_str(if c.is_ascii() { "." } else { "\u{ff0e}" })?;
            }
            f.write_str(if shown.chars().nth(column).is_none_or(|c| c.is_ascii()) { "^" } else { "\u{ff3e}" })?;
        }
        Ok(())
    }
}

impl std::error::Error for CompileError {}

impl Program {
    /// Reads an expression.
    pub fn read(source: &str) -> Result<Self, CompileError> {
        if source.len() > MOST_BYTES {
            return Err(CompileError::new("", vec![(0, format!("expression is longer than {MOST_BYTES} bytes"))]));
        }
        let expr = parser::parse(source).map_err(|failures| CompileError::new(source, failures))?;
        Ok(Program { source: source.to_owned(), expr })
    }

    /// Reads an expression in which these variables are known; nothing is asked of their types.
    pub fn compile(source: &str, variables: &[&str]) -> Result<Self, CompileError> {
        let program = Program::read(source)?;
        scope::check(&program.expr, variables).map_err(|failure| CompileError::new(source, vec![failure]))?;
        Ok(program)
    }

    /// Finds the type of the expression, and what is wrong with it.
    pub fn check(&self, env: &Env) -> Result<Checked, CompileError> {
        check::check_expr(&self.expr, env).map_err(|failures| CompileError::new(&self.source, failures))
    }

    /// The text it was read from.
    pub fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn expr(&self) -> &Expr {
        &self.expr
    }

    /// Whether the expression names this variable.
    pub fn uses(&self, variable: &str) -> bool {
        scope::uses(&self.expr, variable)
    }

    /// Computes the value; each step takes from the budget, which may be shared by many expressions.
    pub fn run(&self, activation: &Activation<'_>, budget: &mut u64) -> Result<Value, EvalError> {
        eval::run(&self.expr, activation, budget)
    }
}

#[cfg(test)]
mod tests;
