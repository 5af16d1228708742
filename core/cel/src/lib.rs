//! Kubernetes' Common Expression Language: reading, checking and running expressions within a budget.
//!
//! Start at [`Program`]. Values are JSON seen through [`Value`]; nothing here knows kinds, requests or the store.
//! Invariants: every expression ends, because each step spends budget; nothing that is read or computed can panic.
//!
//! <https://kubernetes.io/docs/reference/using-api/cel/>
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod authorizer;
mod check;
mod eval;
mod functions;
mod lazy;
mod lexer;
mod libraries;
mod parser;
mod strings;
mod value;

pub use authorizer::{Authorizer, Check, Decision, Stage};
pub use eval::{Activation, EvalError};
pub use lazy::{Compiled, Variables};
pub use strings::duration as parse_duration;
pub use value::{Key, Struct, Value};

use parser::Expr;

/// Expressions longer than this are not read.
const MOST_BYTES: usize = 16 * 1024;

/// An expression that was read and may be run any number of times.
#[derive(Clone, Debug)]
pub struct Program {
    source: String,
    expr: Expr,
}

/// Why an expression cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// Where, in characters from 0.
    pub at: usize,
    /// What is wrong.
    pub message: String,
    source: String,
}

impl std::fmt::Display for CompileError {
    /// As Kubernetes shows it: place, reason, and the line with a pointer.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let before: String = self.source.chars().take(self.at).collect();
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count());
        let shown = self.source.split('\n').nth(line).unwrap_or_default();
        write!(f, "ERROR: <input>:{}:{}: {}\n | {shown}\n | {}^", line + 1, column + 1, self.message, ".".repeat(column))
    }
}

impl std::error::Error for CompileError {}

impl Program {
    /// Reads an expression in which these variables are known.
    pub fn compile(source: &str, variables: &[&str]) -> Result<Self, CompileError> {
        let fail = |at: usize, message: String| CompileError { at, message, source: source.to_owned() };
        if source.len() > MOST_BYTES {
            return Err(fail(0, format!("expression is longer than {MOST_BYTES} bytes")));
        }
        let expr = parser::parse(source).map_err(|(at, message)| fail(at, message))?;
        check::check(&expr, variables).map_err(|(at, message)| fail(at, message))?;
        Ok(Program { source: source.to_owned(), expr })
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
        check::uses(&self.expr, variable)
    }

    /// Computes the value; each step takes from the budget, which may be shared by many expressions.
    pub fn run(&self, activation: &Activation<'_>, budget: &mut u64) -> Result<Value, EvalError> {
        eval::run(&self.expr, activation, budget)
    }
}

#[cfg(test)]
mod tests;
