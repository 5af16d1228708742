//! The type of each node, and what is wrong where there is none.

use super::Env;
use super::table::{self, Signature};
use super::tree::{Fold, Id, Kind, Tree};
use super::types::{Type, signature};
use super::unify::{Unifier, most_general};
use crate::lexer::Failure;
use crate::value::Value;

/// What is known of an expression's nodes, by their numbers.
pub struct Found {
    pub types: Vec<Type>,
    /// For calls: every way to call the function that the arguments fit.
    pub ways: Vec<Vec<Signature>>,
    pub wrong: Vec<Failure>,
}

/// Finds types for all nodes of an expression.
pub fn infer(tree: &Tree, env: &Env) -> Found {
    let mut checker = Checker {
        tree,
        env,
        locals: Vec::new(),
        unifier: Unifier::default(),
        found: Found {
            types: vec![Type::Dyn; tree.nodes.len()],
            ways: tree.nodes.iter().map(|_| Vec::new()).collect(),
            wrong: Vec::new(),
        },
    };
    checker.check(tree.root());
    let Checker { unifier, mut found, .. } = checker;
    for of in &mut found.types {
        *of = unifier.resolve(of, true);
    }
    if unifier.exhausted() {
        found.wrong = vec![(0, "expression is too complex to check".to_owned())];
    }
    found
}

struct Checker<'a> {
    tree: &'a Tree,
    env: &'a Env,
    locals: Vec<(&'a str, Type)>,
    unifier: Unifier,
    found: Found,
}

/// Types that expressions can name.
fn named_type(name: &str) -> Option<Type> {
    crate::functions::TYPES.contains(&name).then(|| Type::of("type", vec![Type::named(name)]))
}

impl<'a> Checker<'a> {
    fn fail(&mut self, id: Id, why: String) {
        let at = self.tree.nodes.get(id).map_or(0, |node| node.at);
        self.found.wrong.push((at, why));
    }

    fn known(&self, of: &Type) -> Type {
        self.unifier.resolve(of, false)
    }

    /// Finds the type of a node. The tree is as deep as the parser allowed.
    fn check(&mut self, id: Id) -> Type {
        let tree = self.tree;
        let of = match tree.kind(id) {
            None => Type::Error,
            Some(Kind::Literal(value)) => literal(value),
            Some(Kind::Ident(name)) => self.ident(id, name),
            Some(Kind::Select { of, field, test }) => {
                let found = self.select(id, *of, field, false);
                if *test { Type::Bool } else { self.known(&found) }
            }
            Some(Kind::Call { name, arguments, .. }) if name == "_?._" => self.optional_select(id, arguments),
            Some(Kind::Call { of, name, arguments }) => self.call(id, *of, name, arguments),
            Some(Kind::List(items)) => {
                let mut element = None;
                for (item, optional) in items {
                    element = Some(self.joined(*item, *optional, element));
                }
                Type::list(element.unwrap_or_else(|| self.unifier.fresh()))
            }
            Some(Kind::Map(entries)) => {
                let (mut keys, mut values) = (None, None);
                for (key, value, optional) in entries {
                    keys = Some(self.joined(*key, false, keys));
                    values = Some(self.joined(*value, *optional, values));
                }
                let keys = keys.unwrap_or_else(|| self.unifier.fresh());
                Type::map(keys, values.unwrap_or_else(|| self.unifier.fresh()))
            }
            Some(Kind::Struct { name, fields }) => self.object(id, name, fields),
            Some(Kind::Fold(fold)) => self.fold(fold),
        };
        if let Some(slot) = self.found.types.get_mut(id) {
            *slot = of.clone();
        }
        of
    }

    fn ident(&mut self, id: Id, name: &str) -> Type {
        let local = self.locals.iter().rev().find(|(known, _)| *known == name).map(|(_, of)| of);
        match local.or_else(|| self.env.variables.get(name)).cloned().or_else(|| named_type(name)) {
            Some(of) => of,
            None => {
                self.undeclared(id, name);
                Type::Error
            }
        }
    }

    fn undeclared(&mut self, id: Id, name: &str) {
        self.fail(id, format!("undeclared reference to '{name}' (in container '')"));
    }

    fn mismatch(&mut self, id: Id, wanted: &Type, found: &Type) {
        let (wanted, found) = (self.unifier.resolve(wanted, true), self.unifier.resolve(found, true));
        self.fail(id, format!("expected type '{wanted}' but found '{found}'"));
    }

    /// The type of an element of a list or map beside others.
    fn joined(&mut self, id: Id, optional: bool, previous: Option<Type>) -> Type {
        let mut of = self.check(id);
        if optional {
            match of.unwrapped().cloned() {
                Some(inner) => of = inner,
                None if of == Type::Dyn => {}
                None => self.mismatch(id, &Type::optional(of.clone()), &of),
            }
        }
        let Some(previous) = previous else { return of };
        if self.unifier.assignable(&previous, &of) {
            return most_general(&previous, &of).clone();
        }
        self.mismatch(id, &previous, &of);
        Type::Error
    }

    fn optional_select(&mut self, id: Id, arguments: &[Id]) -> Type {
        let [of, field] = arguments else { return Type::Error };
        let Some(Kind::Literal(Value::Text(name))) = self.tree.kind(*field) else { return Type::Error };
        if let Some(slot) = self.found.types.get_mut(*field) {
            *slot = Type::Text;
        }
        if let Some(text) = table::signatures("_?._", false).next() {
            self.keep(id, table::read(text, &mut || Type::Dyn));
        }
        let found = self.select(id, *of, name, true);
        self.known(&found)
    }

    fn keep(&mut self, id: Id, way: Signature) {
        if let Some(ways) = self.found.ways.get_mut(id) {
            ways.push(way);
        }
    }

    /// A variable whose name has a dot.
    fn dotted(&self, of: Id, field: &str) -> Option<Type> {
        let Some(Kind::Ident(name)) = self.tree.kind(of) else { return None };
        self.env.variables.get(&format!("{name}.{field}")).cloned()
    }

    /// The type of a field.
    fn select(&mut self, id: Id, of: Id, field: &str, optional: bool) -> Type {
        if let Some(found) = self.dotted(of, field) {
            return found;
        }
        let of = self.check(of);
        let of = self.known(&of);
        let inner = of.unwrapped().cloned();
        let target = inner.as_ref().unwrap_or(&of);
        let found = match target {
            Type::Object(object) => match object.field(field) {
                Some(found) => found,
                None => {
                    self.fail(id, format!("undefined field '{field}'"));
                    Type::Error
                }
            },
            Type::Param(_) => {
                self.unifier.assignable(&Type::Dyn, target);
                Type::Dyn
            }
            Type::Dyn | Type::Error => Type::Dyn,
            other => match other.parameters() {
                ("map", [_, value]) => value.clone(),
                _ => {
                    let shown = self.unifier.resolve(other, true);
                    self.fail(id, format!("type '{shown}' does not support field selection"));
                    Type::Dyn
                }
            },
        };
        if inner.is_some() || optional { Type::optional(found) } else { found }
    }

    fn object(&mut self, id: Id, name: &str, fields: &[(String, Id, bool)]) -> Type {
        let of = match self.env.made(name) {
            Some(of) => of,
            None => {
                self.undeclared(id, name);
                Type::Error
            }
        };
        for (field, value, optional) in fields {
            let mut found = self.check(*value);
            if *optional {
                found = self.known(&found).unwrapped().cloned().unwrap_or(found);
            }
            let Type::Object(object) = &of else { continue };
            let Some(wanted) = object.field(field) else {
                self.fail(*value, format!("undefined field '{field}'"));
                continue;
            };
            if !self.unifier.assignable(&wanted, &found) {
                let found = self.unifier.resolve(&found, true);
                let why = format!("expected type of field '{field}' is '{wanted}' but provided type is '{found}'");
                self.fail(*value, why);
            }
        }
        of
    }

    fn call(&mut self, id: Id, of: Option<Id>, name: &str, arguments: &[Id]) -> Type {
        let mut given: Vec<Type> = arguments.iter().map(|argument| self.check(*argument)).collect();
        if let Some(of) = of {
            given.insert(0, self.check(of));
        }
        if !table::is_known(name) {
            self.undeclared(id, name);
            return Type::Error;
        }
        if matches!(name, "_&&_" | "_||_") {
            return self.logical(id, name, arguments, &given);
        }
        let mut result: Option<Type> = None;
        for text in table::signatures(name, of.is_some()) {
            let way = table::read(text, &mut || self.unifier.fresh());
            if !self.unifier.all_assignable(&given, &way.arguments) {
                continue;
            }
            let one = self.known(&way.result);
            result = Some(match result {
                Some(other) if other != Type::Dyn && other != one => Type::Dyn,
                Some(other) => other,
                None => one,
            });
            self.keep(id, way);
        }
        result.unwrap_or_else(|| {
            let given: Vec<Type> = given.iter().map(|of| self.unifier.resolve(of, true)).collect();
            let shown = signature(&given, of.is_some());
            self.fail(id, format!("found no matching overload for '{name}' applied to '{shown}'"));
            Type::Error
        })
    }

    fn logical(&mut self, id: Id, name: &str, arguments: &[Id], given: &[Type]) -> Type {
        let mut result = Type::Bool;
        for (argument, of) in arguments.iter().zip(given) {
            if !self.unifier.assignable(of, &Type::Bool) {
                self.mismatch(*argument, &Type::Bool, of);
                result = Type::Error;
            }
        }
        if let Some(text) = table::signatures(name, false).next() {
            self.keep(id, table::read(text, &mut || Type::Dyn));
        }
        result
    }

    fn fold(&mut self, fold: &'a Fold) -> Type {
        let range = self.check(fold.range);
        let start = self.check(fold.start);
        let range = self.known(&range);
        let (first, second) = match (range.parameters(), &range) {
            (("list", [element]), _) if fold.second.is_some() => (Type::Int, element.clone()),
            (("list", [element]), _) => (element.clone(), Type::Dyn),
            (("map", [key, value]), _) => (key.clone(), value.clone()),
            (_, Type::Dyn | Type::Error | Type::Param(_)) => {
                self.unifier.assignable(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            _ => {
                let shown = self.unifier.resolve(&range, true);
                let why = "cannot be range of a comprehension (must be list, map, or dynamic)";
                self.fail(fold.range, format!("expression of type '{shown}' {why}"));
                (Type::Error, Type::Error)
            }
        };
        let outer = self.locals.len();
        self.locals.push((&fold.gathered, start.clone()));
        let inner = self.locals.len();
        self.locals.push((&fold.variable, first));
        if let Some(name) = &fold.second {
            self.locals.push((name, second));
        }
        for (id, wanted) in [(fold.condition, &Type::Bool), (fold.step, &start)] {
            let found = self.check(id);
            if !self.unifier.assignable(wanted, &found) {
                self.mismatch(id, wanted, &found);
            }
        }
        self.locals.truncate(inner);
        let result = self.check(fold.result);
        self.locals.truncate(outer);
        self.known(&result)
    }
}

fn literal(value: &Value) -> Type {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        Value::Uint(_) => Type::Uint,
        Value::Double(_) => Type::Double,
        Value::Text(_) => Type::Text,
        Value::Bytes(_) => Type::Bytes,
        _ => Type::Dyn,
    }
}
