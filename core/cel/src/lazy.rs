//! Variables that other expressions define, computed when one is first asked for.

use std::collections::BTreeMap;

use crate::Program;
use crate::eval::{Activation, EvalError, Result};
use crate::value::{Key, Value};

/// An expression that was read, or why it could not be.
pub type Compiled = std::result::Result<Program, String>;

/// The fields of one variable, and which of them are computed already.
///
/// Nothing here recurses: an expression that lacks a variable is given up, and run again when the variable is there.
#[derive(Debug)]
pub struct Variables<'p> {
    programs: &'p [(String, Compiled)],
    known: BTreeMap<Key, Value>,
}

/// The variable whose fields they are.
pub(crate) const NAME: &str = "variables";

impl<'p> Variables<'p> {
    /// None of them computed.
    pub fn new(programs: &'p [(String, Compiled)]) -> Self {
        Variables { programs, known: BTreeMap::new() }
    }

    /// Computes an expression that may name `variables`.
    pub fn run(&mut self, program: &Program, activation: &mut Activation<'_>, budget: &mut u64) -> Result {
        // What waits for a variable, by their places; the last of them is computed next.
        let mut waiting: Vec<usize> = Vec::new();
        loop {
            activation.set(NAME, Value::Map(std::sync::Arc::new(self.known.clone())));
            let current = waiting.last().and_then(|at| self.programs.get(*at));
            let (result, missing) = match current {
                None => crate::eval::run_noting(program.expr(), activation, budget),
                Some((_, Ok(program))) => crate::eval::run_noting(program.expr(), activation, budget),
                Some((name, Err(why))) => (Err(EvalError(format!("composited variable {name:?} fails to compile: {why}"))), None),
            };
            if let (Err(_), Some(missing)) = (&result, &missing)
                && let Some(at) = self.programs.iter().position(|(name, _)| name == missing)
                && !waiting.contains(&at)
                && *budget > 0
            {
                waiting.push(at);
                continue;
            }
            let Some((name, program)) = waiting.pop().and_then(|at| self.programs.get(at)) else { return result };
            let value = match (result, program) {
                (Ok(value), _) => value,
                (Err(why), Ok(_)) => Value::Failed(format!("composited variable {name:?} fails to evaluate: {why}").into()),
                (Err(why), Err(_)) => Value::Failed(why.0.into()),
            };
            self.known.insert(Key::Text(name.as_str().into()), value);
        }
    }
}
