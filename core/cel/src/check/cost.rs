//! The most that an expression can cost, before it runs: what cel-go's estimator says of a checked expression whose variables
//! are bounded by a schema.

use super::Checked;
use super::call_cost::Call;
use super::decl::{Decl, Step};
use super::range::Range;
use super::table::Signature;
use super::tree::{Fold, Id, Kind, Tree};
use super::types::Type;
use crate::value::Value;

/// Making a list or a map.
pub const NEW_LIST: u64 = 10;
const NEW_MAP: u64 = 30;
const NEW_OBJECT: u64 = 40;

/// Sizes of what a list or a map holds.
#[derive(Clone, Copy)]
struct Entries {
    is_list: bool,
    key: Range,
    value: Range,
}

impl Entries {
    fn or(self, other: Entries) -> Entries {
        Entries { is_list: self.is_list, key: self.key.or(other.key), value: self.value.or(other.value) }
    }
}

/// A loop's variable.
struct Local<'a> {
    name: &'a str,
    place: Option<&'a Decl>,
    size: Option<Range>,
    entries: Option<Entries>,
}

/// What is known of one node.
#[derive(Clone, Copy, Default)]
struct Known<'a> {
    /// What the schema declares of it.
    place: Option<&'a Decl>,
    size: Option<Range>,
    entries: Option<Entries>,
}

/// Goes through an expression once, from the leaves up.
pub struct Estimator<'a> {
    tree: &'a Tree,
    types: &'a [Type],
    ways: &'a [Vec<Signature>],
    root: &'a Decl,
    known: Vec<Known<'a>>,
    locals: Vec<Local<'a>>,
}

/// The most that a checked expression can cost whose variables are all of this type.
pub fn estimate(checked: &Checked, root: &Decl) -> u64 {
    let Checked { tree, found } = checked;
    let known = vec![Known::default(); tree.nodes.len()];
    let mut estimator = Estimator { tree, types: &found.types, ways: &found.ways, root, known, locals: Vec::new() };
    estimator.cost(tree.root()).max
}

impl<'a> Estimator<'a> {
    fn known(&self, id: Id) -> Known<'a> {
        self.known.get(id).copied().unwrap_or_default()
    }

    fn note(&mut self, id: Id, change: impl FnOnce(&mut Known<'a>)) {
        if let Some(known) = self.known.get_mut(id) {
            change(known);
        }
    }

    /// The type of a node.
    pub fn of(&self, id: Id) -> &'a Type {
        self.types.get(id).unwrap_or(&Type::Dyn)
    }

    /// The number that a node is, if it is one.
    pub fn number(&self, id: Id) -> Option<u64> {
        match self.tree.kind(id) {
            Some(Kind::Literal(Value::Int(n))) => u64::try_from(*n).ok(),
            Some(Kind::Literal(Value::Uint(n))) => Some(*n),
            _ => None,
        }
    }

    fn local(&self, id: Id) -> Option<&Local<'a>> {
        let Some(Kind::Ident(name)) = self.tree.kind(id) else { return None };
        self.locals.iter().rev().find(|local| local.name == name)
    }

    fn place(&self, id: Id) -> Option<&'a Decl> {
        self.local(id).map_or_else(|| self.known(id).place, |local| local.place)
    }

    fn entries(&self, id: Id) -> Option<Entries> {
        self.known(id).entries.or_else(|| self.local(id)?.entries)
    }

    /// The size of a node's value, where anything is known of it.
    pub fn find_size(&self, id: Id) -> Option<Range> {
        let literal = match self.tree.kind(id)? {
            Kind::Literal(Value::Text(text)) => Some(text.chars().count()),
            Kind::Literal(Value::Bytes(bytes)) => Some(bytes.len()),
            Kind::Literal(_) => Some(1),
            Kind::List(items) => Some(items.len()),
            Kind::Map(entries) => Some(entries.len()),
            _ => None,
        };
        let declared = |decl: &Decl| Range { min: 0, max: decl.most };
        self.known(id)
            .size
            .or(literal.map(|n| Range::just(n as u64)))
            .or_else(|| self.place(id).map(declared))
            .or_else(|| is_scalar(self.of(id)).then_some(Range::just(1)))
            .or_else(|| self.local(id)?.size)
    }

    /// The size of a node's value.
    pub fn size(&self, id: Id) -> Range {
        self.find_size(id).unwrap_or(Range::UNKNOWN)
    }

    /// The type of a list's items and the size of one; `None` for what has no items.
    pub fn item(&self, id: Id) -> Option<(&'a Type, Range)> {
        let (_, [first, ..]) = self.of(id).parameters() else { return None };
        let declared = self.place(id).and_then(|decl| decl.step(Step::Element));
        Some((first, declared.map_or(Range::UNKNOWN, |decl| Range { min: 0, max: decl.most })))
    }

    fn cost(&mut self, id: Id) -> Range {
        let tree = self.tree;
        match tree.kind(id) {
            None | Some(Kind::Literal(_)) => Range::NONE,
            Some(Kind::Ident(_)) => {
                let place = self.local(id).map_or(Some(self.root), |local| local.place);
                self.note(id, |known| known.place = place);
                Range::just(1)
            }
            // Asking whether a field is there costs nothing.
            Some(Kind::Select { of, test: true, .. }) => self.cost(*of),
            Some(Kind::Select { of, field, .. }) => {
                let cost = self.cost(*of);
                let place = self.place(*of).and_then(|decl| decl.step(Step::Field(field)));
                self.note(id, |known| known.place = place);
                let reads = matches!(self.of(*of), Type::Object(_)) || self.of(*of).parameters().0 == "map";
                cost.plus(Range::just(u64::from(reads)))
            }
            Some(Kind::Call { of, name, arguments }) => self.call(id, *of, name, arguments),
            Some(Kind::List(items)) => self.list(id, items),
            Some(Kind::Map(entries)) => self.map(id, entries),
            Some(Kind::Struct { fields, .. }) => {
                let sum = fields.iter().fold(Range::NONE, |sum, (_, value, _)| sum.plus(self.cost(*value)));
                sum.plus(Range::just(NEW_OBJECT))
            }
            Some(Kind::Fold(fold)) if self.is_bind(fold) => self.bind(id, fold),
            Some(Kind::Fold(fold)) => self.fold(id, fold),
        }
    }

    fn list(&mut self, id: Id, items: &[(Id, bool)]) -> Range {
        let (mut sum, mut value) = (Range::just(NEW_LIST), None);
        for (item, _) in items {
            sum = sum.plus(self.cost(*item));
            value = Some(value.map_or(self.size(*item), |size: Range| size.or(self.size(*item))));
        }
        let entries = Entries { is_list: true, key: Range::just(1), value: value.unwrap_or(Range::NONE) };
        self.note(id, |known| known.entries = Some(entries));
        sum
    }

    fn map(&mut self, id: Id, all: &[(Id, Id, bool)]) -> Range {
        let (mut sum, mut entries) = (Range::just(NEW_MAP), None);
        for (key, value, _) in all {
            sum = sum.plus(self.cost(*key)).plus(self.cost(*value));
            let one = Entries { is_list: false, key: self.size(*key), value: self.size(*value) };
            entries = Some(entries.map_or(one, |entries: Entries| entries.or(one)));
        }
        let none = Entries { is_list: false, key: Range::NONE, value: Range::NONE };
        self.note(id, |known| known.entries = Some(entries.unwrap_or(none)));
        sum
    }

    fn call(&mut self, id: Id, of: Option<Id>, name: &'a str, arguments: &'a [Id]) -> Range {
        if let ("dyn", [argument]) = (name, arguments) {
            let cost = self.cost(*argument);
            let (size, entries) = (self.find_size(*argument), self.entries(*argument));
            self.note(id, |known| (known.size, known.entries) = (size.or(known.size), entries.or(known.entries)));
            return cost.plus(Range::just(1));
        }
        let costs: Vec<Range> = arguments.iter().map(|argument| self.cost(*argument)).collect();
        let of_cost = of.map_or(Range::NONE, |of| self.cost(of));
        let ways = self.ways;
        let (mut cost, mut size): (Option<Range>, Option<Range>) = (None, None);
        for way in ways.get(id).into_iter().flatten() {
            let one = Call { name, way, of, arguments, costs: &costs }.estimate(self);
            cost = Some(cost.map_or(one.cost, |cost| cost.or(one.cost)));
            size = match (size, one.size) {
                (Some(size), Some(other)) => Some(size.or(other)),
                (size, other) => size.or(other),
            };
            if let (Some(from), Some("list" | "map"), "_[_]") =
                (arguments.first(), way.arguments.first().map(|of| of.parameters().0), name)
            {
                size = self.entries(*from).map(|entries| entries.value);
                let place = self.place(*from).and_then(|decl| decl.step(Step::Element));
                self.note(id, |known| known.place = place);
            }
            if size.is_none() {
                size = self.find_size(id);
            }
            self.join_entries(id, name, arguments);
        }
        self.note(id, |known| known.size = size.or(known.size));
        of_cost.plus(cost.unwrap_or(Range::NONE))
    }

    /// What is known of the elements of both sides is known of what is made of them.
    fn join_entries(&mut self, id: Id, name: &str, arguments: &[Id]) {
        let (a, b) = match (name, arguments) {
            ("_+_", [a, b]) | ("_?_:_", [_, a, b]) => (self.entries(*a), self.entries(*b)),
            _ => return,
        };
        if let (Some(a), Some(b)) = (a, b) {
            self.note(id, |known| known.entries = Some(a.or(b)));
        }
    }

    fn is_bind(&self, fold: &Fold) -> bool {
        let empty = matches!(self.tree.kind(fold.range), Some(Kind::List(items)) if items.is_empty());
        let never = matches!(self.tree.kind(fold.condition), Some(Kind::Literal(Value::Bool(false))));
        empty && never && fold.gathered != super::tree::GATHERED
    }

    fn bind(&mut self, id: Id, fold: &'a Fold) -> Range {
        let sum = self.cost(fold.range).plus(self.cost(fold.start));
        self.push_gathered(fold);
        let sum = sum.plus(self.cost(fold.result));
        let (size, entries) = (self.find_size(fold.result), self.entries(fold.result));
        self.locals.pop();
        self.note(id, |known| (known.size, known.entries) = (size, entries));
        sum
    }

    fn push_gathered(&mut self, fold: &'a Fold) {
        let (place, size, entries) = (self.place(fold.start), self.find_size(fold.start), self.entries(fold.start));
        self.locals.push(Local { name: &fold.gathered, place, size, entries });
    }

    fn fold(&mut self, id: Id, fold: &'a Fold) -> Range {
        let sum = self.cost(fold.range).plus(self.cost(fold.start));
        self.push_gathered(fold);
        let outer = self.locals.len();
        self.push_variables(fold);
        let turn = self.cost(fold.condition).plus(self.cost(fold.step));
        self.locals.truncate(outer);
        let sum = sum.plus(self.cost(fold.result));
        self.locals.pop();
        let turns = self.size(fold.range);
        match self.tree.kind(fold.start) {
            Some(Kind::Literal(_)) => {
                let size = self.find_size(fold.start);
                self.note(id, |known| known.size = size);
            }
            Some(Kind::List(_) | Kind::Map(_)) => {
                let entries = self.entries(fold.step);
                self.note(id, |known| (known.size, known.entries) = (Some(turns), entries));
            }
            _ => {}
        }
        sum.plus(turns.times(turn))
    }

    fn push_variables(&mut self, fold: &'a Fold) {
        let (entries, place) = (self.entries(fold.range), self.place(fold.range));
        let is_list = entries.map_or_else(|| self.of(fold.range).parameters().0 == "list", |entries| entries.is_list);
        let (key, value) = (entries.map(|entries| entries.key), entries.map(|entries| entries.value));
        let keys = place.filter(|_| !is_list).and_then(|decl| decl.step(Step::Key));
        let values = place.and_then(|decl| decl.step(Step::Element));
        let mut push = |name, place, size| self.locals.push(Local { name, place, size, entries: None });
        match &fold.second {
            Some(second) => {
                push(&fold.variable, keys, key);
                push(second, values, value);
            }
            None if is_list => push(&fold.variable, values, value),
            None => push(&fold.variable, keys, key),
        }
    }
}

/// Types whose values are all of one size.
fn is_scalar(of: &Type) -> bool {
    match of {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        _ => of.unwrapped().is_some_and(is_scalar),
    }
}
