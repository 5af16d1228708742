//! The functions of Kubernetes' CEL environment with the types they take and give: data, in `overloads.txt`.
//!
//! A line has names, whether they are called as functions (`f`) or methods (`m`, whose first type is the receiver's), and
//! signatures. Types of one letter stand for any type.

use super::types::Type;

const TABLE: &str = include_str!("overloads.txt");

/// One way to call a function.
#[derive(Clone, Debug)]
pub struct Signature {
    pub arguments: Vec<Type>,
    pub result: Type,
}

fn rows(name: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    TABLE.lines().filter_map(move |line| {
        let (names, rest) = line.split_once(' ')?;
        names.split(',').any(|known| known == name).then(|| rest.split_once(' ')).flatten()
    })
}

/// Whether a function or method has this name.
pub fn is_known(name: &str) -> bool {
    rows(name).next().is_some()
}

/// The ways to call a function, or a method, of this name.
pub fn signatures(name: &str, method: bool) -> impl Iterator<Item = &'static str> {
    let style = if method { "m" } else { "f" };
    rows(name).filter(move |(s, _)| *s == style).flat_map(|(_, all)| all.split(';'))
}

/// Reads a signature; each letter in it becomes one new type, which `fresh` makes.
pub fn read(text: &'static str, fresh: &mut dyn FnMut() -> Type) -> Signature {
    let (arguments, result) = text.split_once('>').unwrap_or((text, "dyn"));
    let mut letters: Vec<(char, Type)> = Vec::new();
    let mut one = |word: &str| type_of(word, &mut letters, fresh, 0);
    let result_type = one(result);
    Signature { arguments: parts(arguments).into_iter().map(one).collect(), result: result_type }
}

/// What stands between commas that are in no parentheses.
fn parts(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut out) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                out.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    out.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    out
}

fn type_of(word: &str, letters: &mut Vec<(char, Type)>, fresh: &mut dyn FnMut() -> Type, depth: u32) -> Type {
    if let Some((name, inside)) = word.strip_suffix(')').and_then(|word| word.split_once('(')).filter(|_| depth < 8) {
        return Type::of(name, parts(inside).into_iter().map(|part| type_of(part, letters, fresh, depth + 1)).collect());
    }
    let mut chars = word.chars();
    let (Some(letter @ ('A' | 'B')), None) = (chars.next(), chars.next()) else { return Type::named(word) };
    if let Some((_, known)) = letters.iter().find(|(known, _)| *known == letter) {
        return known.clone();
    }
    let new = fresh();
    letters.push((letter, new.clone()));
    new
}
