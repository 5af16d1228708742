//! Which types fit others, and what unknown types turn out to be.

use std::cell::Cell;

use super::types::Type;

/// Types nest no deeper; expressions do not either.
const MAX_DEPTH: u32 = 300;

/// Steps that one expression may take: types may share parts, and then the steps are many more than the parts.
const MOST_STEPS: u32 = 1_000_000;

/// What is known of unknown types.
#[derive(Default)]
pub struct Unifier {
    known: Vec<Option<Type>>,
    /// What was known before, to go back to when types do not fit after all.
    trail: Vec<(usize, Option<Type>)>,
    steps: Cell<u32>,
}

impl Unifier {
    /// Whether more was asked than one expression may ask; then no answer counts.
    pub fn exhausted(&self) -> bool {
        self.steps.get() > MOST_STEPS
    }

    fn step(&self, depth: u32) -> bool {
        self.steps.set(self.steps.get().saturating_add(1));
        depth <= MAX_DEPTH && !self.exhausted()
    }

    /// A type that is not known yet.
    pub fn fresh(&mut self) -> Type {
        self.known.push(None);
        Type::Param(self.known.len() as u32 - 1)
    }

    fn find(&self, of: &Type) -> Option<&Type> {
        match of {
            Type::Param(number) => self.known.get(*number as usize)?.as_ref(),
            _ => None,
        }
    }

    fn learn(&mut self, of: &Type, found: Type) {
        if let Type::Param(number) = of
            && let Some(slot) = self.known.get_mut(*number as usize)
        {
            self.trail.push((*number as usize, slot.replace(found)));
        }
    }

    /// The type with everything put in that is known; what is unknown may become `dyn`.
    pub fn resolve(&self, of: &Type, to_dyn: bool) -> Type {
        self.resolve_at(of, to_dyn, 0)
    }

    fn resolve_at(&self, of: &Type, to_dyn: bool, depth: u32) -> Type {
        if !self.step(depth) {
            return Type::Dyn;
        }
        match of {
            Type::Param(_) => match self.find(of) {
                Some(found) => self.resolve_at(found, to_dyn, depth + 1),
                None if to_dyn => Type::Dyn,
                None => of.clone(),
            },
            Type::Of(parts) if !parts.parameters.is_empty() => {
                let all = parts.parameters.iter().map(|part| self.resolve_at(part, to_dyn, depth + 1)).collect();
                Type::of(&parts.name, all)
            }
            _ => of.clone(),
        }
    }

    /// Whether each type fits where the other stands; what is learned is kept only then.
    pub fn all_assignable(&mut self, from: &[Type], to: &[Type]) -> bool {
        let before = self.trail.len();
        let fit = self.fit_all(from, to, 0);
        if !fit {
            while self.trail.len() > before {
                if let Some((number, was)) = self.trail.pop()
                    && let Some(slot) = self.known.get_mut(number)
                {
                    *slot = was;
                }
            }
        }
        self.trail.truncate(before);
        fit
    }

    /// Whether one type fits where the other stands.
    pub fn assignable(&mut self, from: &Type, to: &Type) -> bool {
        self.all_assignable(std::slice::from_ref(from), std::slice::from_ref(to))
    }

    fn fit_all(&mut self, from: &[Type], to: &[Type], depth: u32) -> bool {
        from.len() == to.len() && from.iter().zip(to).all(|(from, to)| self.fit(from, to, depth))
    }

    fn fit(&mut self, from: &Type, to: &Type, depth: u32) -> bool {
        if !self.step(depth) {
            return false;
        }
        if matches!(to, Type::Param(_)) {
            let known = self.find(to).is_some();
            if self.stands_for(from, to, depth) {
                return true;
            }
            if known {
                return false;
            }
        }
        if matches!(from, Type::Param(_)) {
            return self.stands_for(to, from, depth);
        }
        if from.is_dyn_or_error() || to.is_dyn_or_error() {
            return true;
        }
        match (from, to) {
            (Type::Null, other) | (other, Type::Null) => nullable(other),
            (Type::Of(a), Type::Of(b)) if a.name == "type" => b.name == "type",
            (Type::Of(a), Type::Of(b)) => a.name == b.name && self.fit_all(&a.parameters, &b.parameters, depth + 1),
            _ => from == to,
        }
    }

    /// Whether an unknown type can be, or is, this type.
    fn stands_for(&mut self, is: &Type, unknown: &Type, depth: u32) -> bool {
        if is == unknown {
            return true;
        }
        if let Some(known) = self.find(unknown).cloned() {
            if *is == known {
                return true;
            }
            if !self.fit(is, &known, depth + 1) {
                return false;
            }
            let general = most_general(is, &known).clone();
            if !self.occurs(unknown, &general, 0) {
                self.learn(unknown, general);
            }
            return true;
        }
        if self.occurs(unknown, is, 0) {
            return false;
        }
        self.learn(unknown, is.clone());
        true
    }

    /// Whether an unknown type is a part of another.
    fn occurs(&self, unknown: &Type, within: &Type, depth: u32) -> bool {
        !self.step(depth)
            || unknown == within
            || self.find(within).is_some_and(|known| self.occurs(unknown, known, depth + 1))
            || within.parameters().1.iter().any(|part| self.occurs(unknown, part, depth + 1))
    }
}

fn nullable(of: &Type) -> bool {
    match of {
        Type::Null | Type::Object(_) | Type::Timestamp | Type::Duration => true,
        Type::Of(of) => !matches!(of.name.as_str(), "list" | "map" | "type"),
        _ => false,
    }
}

/// The one of two fitting types that says less.
pub fn most_general<'t>(a: &'t Type, b: &'t Type) -> &'t Type {
    if says_less(a, b) { a } else { b }
}

fn says_less(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Param(_)) => false,
        (Type::Of(a), Type::Of(b)) => {
            a.name == b.name
                && (a.name == "type"
                    || a.parameters.len() == b.parameters.len()
                        && a.parameters.iter().zip(&b.parameters).all(|(a, b)| says_less(a, b)))
        }
        _ => a == b,
    }
}
