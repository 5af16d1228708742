//! Running an expression. Every node costs one unit of the budget, and work on texts and lists costs by their size.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::ast::{Expr, Loop, LoopKind, Node};
use crate::authorizer::{self, Authorizer};
use crate::functions;
use crate::lazy;
use crate::value::{Key, Struct, Value};

/// Why an expression has no value, in the words of Kubernetes' CEL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalError(pub String);

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EvalError {}

pub(crate) type Result<T = Value> = std::result::Result<T, EvalError>;

pub(crate) fn error<T>(why: impl Into<String>) -> Result<T> {
    Err(EvalError(why.into()))
}

pub(crate) fn no_overload<T>() -> Result<T> {
    error("no such overload")
}

/// The values of an expression's variables.
#[derive(Clone, Debug, Default)]
pub struct Activation<'a> {
    variables: BTreeMap<&'a str, Value>,
    authorizer: Option<&'a dyn Authorizer>,
}

impl<'a> Activation<'a> {
    /// No variables.
    pub fn new() -> Self {
        Activation::default()
    }

    /// With one more variable.
    pub fn with(mut self, name: &'a str, value: Value) -> Self {
        self.variables.insert(name, value);
        self
    }

    /// With somebody who decides what may be done.
    pub fn with_authorizer(mut self, authorizer: &'a dyn Authorizer) -> Self {
        self.authorizer = Some(authorizer);
        self
    }

    /// Gives a variable its value.
    pub fn set(&mut self, name: &'a str, value: Value) {
        self.variables.insert(name, value);
    }
}

/// Computes the value of an expression.
pub fn run(expr: &Expr, activation: &Activation<'_>, budget: &mut u64) -> Result {
    run_noting(expr, activation, budget).0
}

/// Like [`run`]; notes which field of [`lazy::NAME`] was asked for last without being there.
pub fn run_noting(expr: &Expr, activation: &Activation<'_>, budget: &mut u64) -> (Result, Option<String>) {
    let mut machine = Machine { activation, locals: Vec::new(), budget, missing: None };
    let result = match machine.eval(expr) {
        Ok(Value::Failed(why)) => error(&*why),
        result => result,
    };
    (result, machine.missing)
}

struct Machine<'a> {
    activation: &'a Activation<'a>,
    locals: Vec<(String, Value)>,
    budget: &'a mut u64,
    missing: Option<String>,
}

impl Machine<'_> {
    fn spend(&mut self, cost: u64) -> Result<()> {
        match self.budget.checked_sub(cost) {
            Some(left) => {
                *self.budget = left;
                Ok(())
            }
            None => {
                *self.budget = 0;
                error("operation cancelled: actual cost limit exceeded")
            }
        }
    }

    fn eval(&mut self, expr: &Expr) -> Result {
        self.spend(1)?;
        match &expr.node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Ident(name) => self.variable(name),
            Node::Select { of, field, optional } => {
                let value = self.eval(of)?;
                self.note_missing(of, &value, field)?;
                select(&value, field, *optional)
            }
            Node::Has { of, field } => {
                let value = self.eval(of)?;
                self.note_missing(of, &value, field)?;
                has(&value, field)
            }
            Node::Index { of, index, optional } => {
                let (of, index) = (self.eval(of)?, self.eval(index)?);
                at(&of, &index, *optional)
            }
            Node::Call { of, name, arguments } => self.call(of.as_deref(), name, arguments),
            Node::List(items) => self.list(items),
            Node::Map(entries) => self.map(entries),
            Node::Struct { name, fields } => self.object(name, fields),
            Node::And(a, b) => self.both(a, b, false),
            Node::Or(a, b) => self.both(a, b, true),
            Node::Not(a) => match self.eval(a)? {
                Value::Bool(b) => Ok(Value::Bool(!b)),
                _ => no_overload(),
            },
            Node::Negate(a) => match self.eval(a)? {
                Value::Int(n) => n.checked_neg().map(Value::Int).ok_or_else(|| EvalError("integer overflow".to_owned())),
                Value::Double(n) => Ok(Value::Double(-n)),
                Value::Duration(n) => Ok(Value::Duration(n.saturating_neg())),
                _ => no_overload(),
            },
            Node::If(condition, then, other) => match self.eval(condition)? {
                Value::Bool(true) => self.eval(then),
                Value::Bool(false) => self.eval(other),
                _ => no_overload(),
            },
            Node::Binary(operator, a, b) => {
                let (a, b) = (self.eval(a)?, self.eval(b)?);
                self.spend(a.weight().saturating_add(b.weight()))?;
                functions::binary(*operator, &a, &b)
            }
            Node::Loop(each) => self.each(each),
            Node::OptMap { of, name, body, flat } => match self.eval(of)? {
                Value::Optional(None) => Ok(Value::Optional(None)),
                Value::Optional(Some(value)) => {
                    self.locals.push((name.clone(), (*value).clone()));
                    let result = self.eval(body);
                    self.locals.pop();
                    if *flat { result } else { result.map(|value| Value::Optional(Some(Arc::new(value)))) }
                }
                _ => no_overload(),
            },
        }
    }

    fn variable(&self, name: &str) -> Result {
        let local = self.locals.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value);
        match local.or_else(|| self.activation.variables.get(name)) {
            Some(Value::Failed(why)) => error(&**why),
            Some(value) => Ok(value.clone()),
            None => match functions::TYPES.iter().find(|known| **known == name) {
                Some(name) => Ok(Value::Type(name)),
                None => error(format!("no such attribute(s): {name}")),
            },
        }
    }

    /// `&&` and `||`: one side that decides is enough, even if the other fails.
    fn both(&mut self, a: &Expr, b: &Expr, decides: bool) -> Result {
        let first = self.eval(a);
        if matches!(first, Ok(Value::Bool(value)) if value == decides) {
            return first;
        }
        let second = self.eval(b);
        match (first, second) {
            (_, Ok(Value::Bool(value))) if value == decides => Ok(Value::Bool(decides)),
            (Err(why), _) | (Ok(Value::Bool(_)), Err(why)) => Err(why),
            (Ok(Value::Bool(_)), Ok(Value::Bool(value))) => Ok(Value::Bool(value)),
            _ => no_overload(),
        }
    }

    fn call(&mut self, of: Option<&Expr>, name: &str, arguments: &[Expr]) -> Result {
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for argument in of.into_iter().chain(arguments) {
            values.push(self.eval(argument)?);
        }
        let work: u64 = values.iter().map(Value::weight).sum();
        self.spend(functions::cost(name, &values).saturating_add(work))?;
        if let Some(Value::Check(_) | Value::Decision(_)) = values.first()
            && let Some(result) = authorizer::call(self.activation.authorizer, name, &values)
        {
            return result;
        }
        functions::call(name, of.is_some(), &values)
    }

    /// Fails if a variable's field is not there that may come to be.
    fn note_missing(&mut self, of: &Expr, value: &Value, field: &str) -> Result<()> {
        let there = || matches!(value, Value::Map(map) if map.contains_key(&Key::Text(field.into())));
        if matches!(&of.node, Node::Ident(name) if name == lazy::NAME) && !there() {
            self.missing = Some(field.to_owned());
            return error(format!("no such key: {field}"));
        }
        Ok(())
    }

    fn object(&mut self, name: &str, fields: &[(String, Expr, bool)]) -> Result {
        let mut out = BTreeMap::new();
        for (field, value, optional) in fields {
            let value = match (self.eval(value)?, optional) {
                (Value::Optional(None), true) => continue,
                (Value::Optional(Some(value)), true) => (*value).clone(),
                (value, _) => value,
            };
            out.insert(field.clone(), value);
        }
        Ok(Value::Struct(Arc::new(Struct { name: name.to_owned(), fields: out })))
    }

    fn list(&mut self, items: &[(Expr, bool)]) -> Result {
        let mut out = Vec::with_capacity(items.len());
        for (item, optional) in items {
            match (self.eval(item)?, optional) {
                (Value::Optional(value), true) => out.extend(value.map(|value| (*value).clone())),
                (value, _) => out.push(value),
            }
        }
        Ok(Value::List(Arc::new(out)))
    }

    fn map(&mut self, entries: &[(Expr, Expr, bool)]) -> Result {
        let mut out = BTreeMap::new();
        for (key, value, optional) in entries {
            let Some(key) = self.eval(key)?.key() else { return error("unsupported key type") };
            let value = match (self.eval(value)?, optional) {
                (Value::Optional(None), true) => continue,
                (Value::Optional(Some(value)), true) => (*value).clone(),
                (value, _) => value,
            };
            if out.insert(key, value).is_some() {
                return error("Failed with repeated key");
            }
        }
        Ok(Value::Map(Arc::new(out)))
    }

    fn each(&mut self, each: &Loop) -> Result {
        let range = self.eval(&each.range)?;
        let steps: Vec<(Value, Value)> = match &range {
            Value::List(list) => list.iter().enumerate().map(|(i, v)| (Value::Int(i as i64), v.clone())).collect(),
            Value::Map(map) => map.iter().map(|(key, value)| (key.value(), value.clone())).collect(),
            _ => return no_overload(),
        };
        let over_map = matches!(range, Value::Map(_));
        let outer = self.locals.len();
        let mut state =
            LoopState { kind: each.kind, found: 0, failed: None, out: Vec::new(), keyed: Vec::new(), map: BTreeMap::new() };
        for (index, item) in steps {
            let keyed = over_map || each.kind == LoopKind::TransformMap;
            let single = if keyed { index.clone() } else { item.clone() };
            match each.variables.as_slice() {
                [one] => self.locals.push((one.clone(), single.clone())),
                [first, second, ..] => {
                    self.locals.push((first.clone(), index));
                    self.locals.push((second.clone(), item));
                }
                [] => {}
            }
            let done = self.step(each, single, &mut state);
            self.locals.truncate(outer);
            if done? {
                break;
            }
        }
        state.result()
    }

    /// One round; returns whether the result is known.
    fn step(&mut self, each: &Loop, item: Value, state: &mut LoopState) -> Result<bool> {
        if let Some(filter) = &each.filter {
            match self.eval(filter)? {
                Value::Bool(true) => {}
                Value::Bool(false) => return Ok(false),
                _ => return no_overload(),
            }
        }
        let value = self.eval(&each.body);
        match (each.kind, value) {
            (LoopKind::Map, value) => state.out.push(value?),
            (LoopKind::SortBy, value) => {
                // Each comparison costs, and sorting takes more the longer the list is.
                self.spend(u64::from(state.keyed.len().checked_ilog2().unwrap_or(0)))?;
                state.keyed.push((value?, item));
            }
            (LoopKind::TransformMap, value) => match item.key() {
                Some(key) => state.insert(key, value?)?,
                None => return no_overload(),
            },
            (LoopKind::TransformMapEntry, value) => match value? {
                Value::Map(entries) => {
                    // Each round adds few entries, but nothing says how few: they cost.
                    self.spend(entries.len() as u64)?;
                    entries.iter().try_for_each(|(key, value)| state.insert(key.clone(), value.clone()))?;
                }
                _ => return no_overload(),
            },
            (LoopKind::Filter, value) => match value? {
                Value::Bool(true) => state.out.push(item),
                Value::Bool(false) => {}
                _ => return no_overload(),
            },
            // One item that decides is enough, even if others fail.
            (LoopKind::All, Ok(Value::Bool(false))) | (LoopKind::Exists, Ok(Value::Bool(true))) => {
                state.found += 1;
                return Ok(true);
            }
            (LoopKind::ExistsOne, value) => match value? {
                Value::Bool(held) => state.found += u64::from(held),
                _ => return no_overload(),
            },
            (_, Ok(Value::Bool(_))) => {}
            (_, Ok(_)) => return no_overload(),
            (_, Err(why)) if *self.budget == 0 => return Err(why),
            (_, Err(why)) => state.failed = state.failed.take().or(Some(why)),
        }
        Ok(false)
    }
}

struct LoopState {
    kind: LoopKind,
    found: u64,
    failed: Option<EvalError>,
    out: Vec<Value>,
    /// Items with what they are sorted by.
    keyed: Vec<(Value, Value)>,
    map: BTreeMap<Key, Value>,
}

impl LoopState {
    fn insert(&mut self, key: Key, value: Value) -> Result<()> {
        if self.map.contains_key(&key) {
            return error(format!("insert failed: key {} already exists", crate::strings::shown(&key.value())));
        }
        self.map.insert(key, value);
        Ok(())
    }

    fn result(self) -> Result {
        match (self.kind, self.failed) {
            (LoopKind::Map | LoopKind::Filter, _) => Ok(Value::List(Arc::new(self.out))),
            (LoopKind::SortBy, _) => {
                let mut keyed = self.keyed;
                keyed.sort_by(|(a, _), (b, _)| a.compare(b).unwrap_or(std::cmp::Ordering::Equal));
                Ok(Value::List(Arc::new(keyed.into_iter().map(|(_, item)| item).collect())))
            }
            (LoopKind::TransformMap | LoopKind::TransformMapEntry, _) => Ok(Value::Map(Arc::new(self.map))),
            (LoopKind::ExistsOne, _) => Ok(Value::Bool(self.found == 1)),
            (LoopKind::All, _) if self.found > 0 => Ok(Value::Bool(false)),
            (LoopKind::Exists, _) if self.found > 0 => Ok(Value::Bool(true)),
            (_, Some(why)) => Err(why),
            (LoopKind::All, None) => Ok(Value::Bool(true)),
            (LoopKind::Exists, None) => Ok(Value::Bool(false)),
        }
    }
}

/// A field's value. Field names that are no identifiers are written in an escaped form.
fn field<'v>(of: &'v Value, name: &str) -> Option<&'v Value> {
    let Value::Map(map) = of else { return None };
    let found = map.get(&Key::Text(name.into()));
    if found.is_some() || !name.starts_with('_') && !name.contains("__") {
        return found;
    }
    map.get(&Key::Text(crate::escape::unescaped(name).into()))
}

fn select(of: &Value, name: &str, optional: bool) -> Result {
    match of {
        Value::Optional(None) => Ok(Value::Optional(None)),
        Value::Optional(Some(value)) => match field(value, name) {
            Some(found) => Ok(Value::Optional(Some(Arc::new(found.clone())))),
            None => Ok(Value::Optional(None)),
        },
        Value::Map(_) => match (field(of, name), optional) {
            (Some(Value::Failed(why)), _) => error(&**why),
            (Some(value), true) => Ok(Value::Optional(Some(Arc::new(value.clone())))),
            (Some(value), false) => Ok(value.clone()),
            (None, true) => Ok(Value::Optional(None)),
            (None, false) => error(format!("no such key: {name}")),
        },
        Value::Check(check) if name == "requestResource" => match &check.request {
            Some(request) => Ok(Value::Check(request.clone())),
            None => error("no such attribute(s): authorizer.requestResource"),
        },
        _ => no_overload(),
    }
}

fn has(of: &Value, name: &str) -> Result {
    match of {
        Value::Map(_) => Ok(Value::Bool(field(of, name).is_some())),
        Value::Optional(value) => Ok(Value::Bool(value.as_ref().is_some_and(|value| field(value, name).is_some()))),
        _ => no_overload(),
    }
}

fn at(of: &Value, index: &Value, optional: bool) -> Result {
    let (of, optional) = match of {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(value)) => (&**value, true),
        plain => (plain, optional),
    };
    let found = match (of, index.key()) {
        (Value::List(list), Some(Key::Int(i))) => usize::try_from(i).ok().and_then(|i| list.get(i)),
        (Value::Map(map), Some(key)) => map.get(&key),
        _ => return no_overload(),
    };
    match (found, optional) {
        (Some(value), true) => Ok(Value::Optional(Some(Arc::new(value.clone())))),
        (Some(value), false) => Ok(value.clone()),
        (None, true) => Ok(Value::Optional(None)),
        (None, false) => {
            let shown = crate::strings::shown(index);
            if matches!(of, Value::List(_)) {
                error(format!("index out of bounds: {shown}"))
            } else {
                error(format!("no such key: {shown}"))
            }
        }
    }
}
