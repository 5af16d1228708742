//! Macros: calls that become nodes of their own, as `has`, `all`, `map` and `optMap` do.

use crate::ast::{Expr, Loop, LoopKind, Node};
use crate::parser::Parser;
use crate::value::Value;

/// Macros that are loops: the name, how many arguments, and how many of these are variables.
const LOOPS: [(&str, usize, LoopKind, usize); 18] = [
    ("all", 2, LoopKind::All, 1),
    ("all", 3, LoopKind::All, 2),
    ("exists", 2, LoopKind::Exists, 1),
    ("exists", 3, LoopKind::Exists, 2),
    ("exists_one", 2, LoopKind::ExistsOne, 1),
    ("exists_one", 3, LoopKind::ExistsOne, 2),
    ("existsOne", 2, LoopKind::ExistsOne, 1),
    ("existsOne", 3, LoopKind::ExistsOne, 2),
    ("map", 2, LoopKind::Map, 1),
    ("map", 3, LoopKind::Map, 1),
    ("filter", 2, LoopKind::Filter, 1),
    ("transformList", 3, LoopKind::Map, 2),
    ("transformList", 4, LoopKind::Map, 2),
    ("transformMap", 3, LoopKind::TransformMap, 2),
    ("transformMap", 4, LoopKind::TransformMap, 2),
    ("transformMapEntry", 3, LoopKind::TransformMapEntry, 2),
    ("transformMapEntry", 4, LoopKind::TransformMapEntry, 2),
    ("sortBy", 2, LoopKind::SortBy, 1),
];

impl Parser<'_> {
    /// A call without a receiver: `has` is a macro.
    pub fn function(&mut self, at: usize, name: String, mut arguments: Vec<Expr>) -> Expr {
        if name == "has" && arguments.len() == 1 {
            let argument = arguments.pop();
            let place = argument.as_ref().map_or(at, |argument| argument.at);
            if let Some(Expr { node: Node::Select { of, field, .. }, .. }) = argument {
                return Expr { at, node: Node::Has { of, field } };
            }
            return self.wrong_macro(place, "invalid argument to has() macro");
        }
        Expr { at, node: Node::Call { of: None, name, arguments } }
    }

    /// A macro that cannot be expanded; what stands for it is of no matter.
    fn wrong_macro(&mut self, at: usize, why: &str) -> Expr {
        self.wrong.push((at, why.to_owned()));
        Expr { at, node: Node::Literal(Value::Null) }
    }

    /// A call on a receiver: loops are macros.
    pub fn method(&mut self, at: usize, of: Expr, name: String, mut arguments: Vec<Expr>) -> Expr {
        let loops = |(known, count, ..): &&(&str, usize, LoopKind, usize)| *known == name && *count == arguments.len();
        if let Some(&(_, _, kind, names)) = LOOPS.iter().find(loops) {
            let why = if names == 1 && matches!(name.as_str(), "map" | "filter" | "sortBy") {
                "argument is not an identifier"
            } else {
                "argument must be a simple name"
            };
            let mut rest = arguments.split_off(names);
            let mut variables = Vec::new();
            for argument in &arguments {
                match &argument.node {
                    Node::Ident(name) => variables.push(name.clone()),
                    _ => return self.wrong_macro(argument.at, why),
                }
            }
            let Some(body) = rest.pop() else { return self.wrong_macro(at, why) };
            let filter = rest.pop();
            return Expr { at, node: Node::Loop(Box::new(Loop { kind, range: of, variables, filter, body })) };
        }
        if let ("optMap" | "optFlatMap", [first, body]) = (name.as_str(), arguments.as_slice()) {
            let Node::Ident(variable) = &first.node else {
                return self.wrong_macro(first.at, &format!("{name}() variable name must be a simple identifier"));
            };
            let (body, flat) = (Box::new(body.clone()), name == "optFlatMap");
            return Expr { at, node: Node::OptMap { of: Box::new(of), name: variable.clone(), body, flat } };
        }
        if let Node::Ident(space) = &of.node {
            let name = format!("{space}.{name}");
            if crate::check::is_known(&name) {
                return Expr { at, node: Node::Call { of: None, name, arguments } };
            }
        }
        Expr { at, node: Node::Call { of: Some(Box::new(of)), name, arguments } }
    }
}
