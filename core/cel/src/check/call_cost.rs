//! What one call costs, by function: cel-go's own estimates, those of its extensions and those of Kubernetes' libraries.

use super::cost::{Estimator, NEW_LIST};
use super::range::Range;
use super::table::Signature;
use super::tree::Id;
use super::types::Type;

/// Looking at a character.
const CHARACTER: f64 = 0.1;

/// A character of a regular expression.
const PATTERN_CHARACTER: f64 = 0.25;

/// The longest regular expression behind a named format.
const MOST_FORMAT_PATTERN: f64 = 128.0;

/// The longest name of a format.
const MOST_FORMAT_NAME: u64 = 64;

/// Bytes of an address.
const ADDRESS: Range = Range { min: 4, max: 16 };

/// A call, in one of the ways that its arguments fit.
pub struct Call<'c> {
    pub name: &'c str,
    pub way: &'c Signature,
    pub of: Option<Id>,
    pub arguments: &'c [Id],
    /// What the arguments cost.
    pub costs: &'c [Range],
}

/// What a call costs, and the size of what it gives, where that is known.
pub struct Estimate {
    pub cost: Range,
    pub size: Option<Range>,
}

fn cost(cost: Range) -> Estimate {
    Estimate { cost, size: None }
}

fn sized(cost: Range, size: Range) -> Estimate {
    Estimate { cost, size: Some(size) }
}

/// One list made, and work in proportion to its size.
fn allocating(factor: f64, size: Range) -> Estimate {
    sized(size.scaled(factor).plus(Range::just(1 + NEW_LIST)), size)
}

/// Matching a text of this size against a pattern of that.
fn matching(text: Range, pattern: Range) -> Range {
    // One more, so that an expensive pattern costs even where the text is empty.
    text.plus(Range::just(1)).scaled(CHARACTER).times(pattern.scaled(PATTERN_CHARACTER))
}

impl Call<'_> {
    /// The estimate, with what the arguments cost.
    pub fn estimate(&self, estimator: &Estimator<'_>) -> Estimate {
        let sum = self.costs.iter().fold(Range::NONE, |sum, one| sum.plus(*one));
        if let (Some(first), Some(second)) = (self.costs.first(), self.costs.get(1)) {
            match (self.name, self.costs.get(2)) {
                ("_&&_" | "_||_", _) => return cost(Range { min: first.min, max: sum.max }),
                ("_?_:_", Some(third)) => {
                    let size = self.size(estimator, 1).or(self.size(estimator, 2));
                    return sized(first.plus(second.or(*third)), size);
                }
                _ => {}
            }
        }
        let own = self
            .extension(estimator)
            .or_else(|| self.kubernetes(estimator))
            .or_else(|| self.standard(estimator))
            .unwrap_or(cost(Range::just(1)));
        Estimate { cost: own.cost.plus(sum), ..own }
    }

    fn size(&self, estimator: &Estimator<'_>, argument: usize) -> Range {
        self.arguments.get(argument).map_or(Range::UNKNOWN, |id| estimator.size(*id))
    }

    fn is_text(&self) -> bool {
        matches!(self.way.arguments.first(), Some(Type::Text))
    }

    /// Lists and sets.
    fn extension(&self, estimator: &Estimator<'_>) -> Option<Estimate> {
        let number = |i: usize, otherwise: u64| self.arguments.get(i).and_then(|id| estimator.number(*id)).unwrap_or(otherwise);
        let sorted = |size: Range, element: Option<&Type>| {
            let is_text = matches!(element.and_then(|of| of.parameter("list")), Some(Type::Text | Type::Bytes));
            allocating(if is_text { 2.0 + CHARACTER } else { 2.0 }, size.times(size))
        };
        if self.name.starts_with("sets.") {
            let factor = if self.name == "sets.equivalent" { 2.0 } else { 1.0 };
            let pairs = self.size(estimator, 0).times(self.size(estimator, 1));
            return Some(cost(pairs.scaled(factor).plus(Range::just(1))));
        }
        if self.name == "lists.range" {
            return Some(allocating(1.0, Range::just(number(0, u64::MAX))));
        }
        let size = estimator.size(self.of?);
        Some(match self.name {
            "slice" => allocating(1.0, Range::just(number(1, size.max).saturating_sub(number(0, 0)))),
            "flatten" => allocating(if self.arguments.is_empty() { 1.0 } else { number(0, u64::MAX) as f64 }, size),
            "reverse" => allocating(1.0, size),
            "distinct" => allocating(2.0, size.times(size)),
            "sort" => sorted(size, self.way.arguments.first()),
            "@sortByAssociatedKeys" => sorted(self.size(estimator, 0), self.way.arguments.get(1)),
            _ => return None,
        })
    }

    /// Kubernetes' libraries, and the functions of texts for which it has an estimate of its own.
    fn kubernetes(&self, estimator: &Estimator<'_>) -> Option<Estimate> {
        let of = self.of.map(|of| estimator.size(of));
        let read = |size: Range| cost(size.scaled(CHARACTER));
        Some(match (self.name, of) {
            ("check", _) => cost(Range::just(350_000)),
            ("url" | "jsonpatch.escapeKey", None) => {
                let size = self.size(estimator, 0);
                sized(size.scaled(CHARACTER), size)
            }
            ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(size)) => match estimator.item(self.of?) {
                Some((Type::Text | Type::Bytes, item)) => cost(size.times(Range::just(1).plus(item.scaled(CHARACTER)))),
                Some(_) => cost(size),
                None => read(size),
            },
            ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(size)) => sized(size.scaled(CHARACTER), size),
            ("replace", Some(size)) => {
                let result = replaced(size, self.size(estimator, 0), self.size(estimator, 1));
                sized(size.scaled(2.0 * CHARACTER), result)
            }
            ("split", Some(size)) => {
                let most = self.arguments.get(1).and_then(|id| estimator.number(*id)).unwrap_or(size.max);
                sized(size.scaled(2.0 * CHARACTER), Range { min: 0, max: most })
            }
            ("join", Some(size)) => {
                let mut sum = size.times(estimator.item(self.of?)?.1);
                if !self.arguments.is_empty() {
                    let between = Range { min: size.min.saturating_sub(1), max: size.max.saturating_sub(1) };
                    sum = sum.plus(self.size(estimator, 0).times(between));
                }
                sized(sum.scaled(CHARACTER), sum)
            }
            ("find" | "findAll", Some(size)) => sized(matching(size, self.size(estimator, 0)), Range { min: 0, max: size.max }),
            ("containsIP" | "containsCIDR", Some(_)) => {
                let mut sum = ADDRESS.plus(ADDRESS).scaled(CHARACTER);
                if self.name == "containsCIDR" {
                    sum = sum.plus(ADDRESS.scaled(CHARACTER)).plus(Range::just(1));
                }
                if self.way.arguments.get(1) == Some(&Type::Text) {
                    sum = sum.plus(self.size(estimator, 0).scaled(CHARACTER));
                }
                cost(sum)
            }
            ("validate", Some(_)) => {
                let text = self.size(estimator, 0).scaled(CHARACTER);
                cost(text.scaled(MOST_FORMAT_PATTERN * PATTERN_CHARACTER))
            }
            ("_==_", None) => cost(self.compared(estimator)?),
            _ => return None,
        })
    }

    /// What it costs to compare two values of one of the libraries' types.
    fn compared(&self, estimator: &Estimator<'_>) -> Option<Range> {
        let [a, b] = self.arguments else { return None };
        let of = estimator.of(*a);
        if of != estimator.of(*b) {
            return None;
        }
        let (name, []) = of.parameters() else { return None };
        match name {
            "kubernetes.URL" => Some(Range { min: 1, max: estimator.find_size(*b).map_or(1, |size| size.max) }.scaled(CHARACTER)),
            "kubernetes.NamedFormat" => Some(Range { min: 1, max: MOST_FORMAT_NAME }.scaled(CHARACTER)),
            _ if name.starts_with("kubernetes.") || name.starts_with("net.") => Some(Range::just(1)),
            _ => None,
        }
    }

    /// cel-go's own functions. What is not here costs one, whatever its arguments are.
    fn standard(&self, estimator: &Estimator<'_>) -> Option<Estimate> {
        let of = self.of.map(|of| estimator.size(of));
        let first = || self.size(estimator, 0);
        Some(match (self.name, of) {
            ("format", Some(size)) => cost(size.scaled(CHARACTER)),
            ("bytes", None) if self.is_text() => {
                let size = first();
                sized(size.scaled(CHARACTER), Range { min: size.min, max: size.max.saturating_mul(4) })
            }
            ("string", None) if self.way.arguments.first() == Some(&Type::Bytes) => {
                let size = first();
                sized(size.scaled(CHARACTER), Range { min: size.min / 4, max: size.max })
            }
            ("strings.quote", None) => {
                let size = first();
                let quoted = Range { min: size.min.saturating_add(2), max: size.max.saturating_mul(2).saturating_add(2) };
                sized(size.scaled(CHARACTER), quoted)
            }
            ("startsWith" | "endsWith", Some(_)) => cost(first().scaled(CHARACTER)),
            ("@in", None) if self.way.arguments.get(1).is_some_and(|of| of.parameters().0 == "list") => {
                cost(self.size(estimator, 1))
            }
            ("matches", Some(size)) => cost(matching(size, first())),
            ("contains", Some(size)) => cost(size.scaled(CHARACTER).times(first().scaled(CHARACTER))),
            ("_+_", None) => {
                let size = first().plus(self.size(estimator, 1));
                match self.way.arguments.first()? {
                    Type::Text | Type::Bytes => sized(size.scaled(CHARACTER), size),
                    of if of.parameters().0 == "list" => sized(Range::just(1), size),
                    _ => return None,
                }
            }
            ("_==_" | "_!=_", None) => cost(shorter(first(), self.size(estimator, 1))),
            ("_<_" | "_<=_" | "_>_" | "_>=_", None) if matches!(self.way.arguments.first(), Some(Type::Text | Type::Bytes)) => {
                cost(shorter(first(), self.size(estimator, 1)))
            }
            _ => return None,
        })
    }
}

/// Comparing ends with the shorter of two values.
fn shorter(a: Range, b: Range) -> Range {
    let max = a.max.min(b.max);
    Range { min: u64::from(max > 0), max }.scaled(CHARACTER)
}

/// The size of a text in which others were put.
fn replaced(size: Range, old: Range, new: Range) -> Range {
    let count = |size: u64, old: u64| (size as f64 / old as f64).ceil() as u64;
    // The most: nothing is replaced where the replacement is not longer; a text of no length is everywhere.
    let (most, kept_most) = match old.min {
        0 => (size.max.saturating_add(1), size.max),
        _ if new.max <= old.min => (0, size.max),
        old => (count(size.max, old), 0),
    };
    let (least, kept_least) = match old.max {
        0 => (size.min.saturating_add(1), size.min),
        _ if old.max <= new.min => (0, size.min),
        old => (count(size.min, old), 0),
    };
    Range { min: least, max: most }.times(new).plus(Range { min: kept_least, max: kept_most })
}
