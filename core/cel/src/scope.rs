//! Which names an expression uses, and that they are names of something.

use crate::ast::{Expr, Node};
use crate::functions;
use crate::lexer::Failure;

/// Refuses names that nothing has.
pub fn check(expr: &Expr, variables: &[&str]) -> Result<(), Failure> {
    let mut scope: Vec<String> = variables.iter().map(|name| (*name).to_owned()).collect();
    walk(expr, &mut scope, &mut |expr, scope| match &expr.node {
        Node::Ident(name) if !scope.contains(name) && !functions::TYPES.contains(&name.as_str()) => {
            Err((expr.at, format!("undeclared reference to '{name}' (in container '')")))
        }
        // Types of objects are known by their first name.
        Node::Struct { name, .. } if !scope.iter().any(|known| name.split('.').next() == Some(known)) => {
            Err((expr.at, format!("undeclared reference to '{name}' (in container '')")))
        }
        Node::Call { name, .. } if !crate::check::is_known(name) => {
            Err((expr.at, format!("undeclared reference to '{name}' (in container '')")))
        }
        _ => Ok(()),
    })
}

/// Whether a variable is named, other than by a loop's own.
pub fn uses(expr: &Expr, variable: &str) -> bool {
    walk(expr, &mut Vec::new(), &mut |expr, scope| match &expr.node {
        Node::Ident(name) if name == variable && !scope.contains(name) => Err((0, String::new())),
        _ => Ok(()),
    })
    .is_err()
}

type Visit<'v> = dyn FnMut(&Expr, &[String]) -> Result<(), Failure> + 'v;

/// Visits every node with the variables in scope there. The parser has bounded the depth.
fn walk(expr: &Expr, scope: &mut Vec<String>, visit: &mut Visit<'_>) -> Result<(), Failure> {
    visit(expr, scope)?;
    match &expr.node {
        Node::Literal(_) | Node::Ident(_) => Ok(()),
        Node::Select { of, .. } | Node::Has { of, .. } | Node::Not(of) | Node::Negate(of) => walk(of, scope, visit),
        Node::Index { of: a, index: b, .. } | Node::And(a, b) | Node::Or(a, b) | Node::Binary(_, a, b) => {
            walk(a, scope, visit)?;
            walk(b, scope, visit)
        }
        Node::If(a, b, c) => [a, b, c].into_iter().try_for_each(|part| walk(part, scope, visit)),
        Node::Call { of, arguments, .. } => {
            of.iter().try_for_each(|of| walk(of, scope, visit))?;
            arguments.iter().try_for_each(|argument| walk(argument, scope, visit))
        }
        Node::List(items) => items.iter().try_for_each(|(item, _)| walk(item, scope, visit)),
        Node::Map(entries) => entries.iter().try_for_each(|(key, value, _)| {
            walk(key, scope, visit)?;
            walk(value, scope, visit)
        }),
        Node::Struct { fields, .. } => fields.iter().try_for_each(|(_, value, _)| walk(value, scope, visit)),
        Node::Loop(each) => {
            walk(&each.range, scope, visit)?;
            let inner = scope.len();
            scope.extend(each.variables.iter().cloned());
            let result = each.filter.iter().chain([&each.body]).try_for_each(|part| walk(part, scope, visit));
            scope.truncate(inner);
            result
        }
        Node::OptMap { of, name, body, .. } => {
            walk(of, scope, visit)?;
            scope.push(name.clone());
            let result = walk(body, scope, visit);
            scope.pop();
            result
        }
    }
}
