//! What expressions are estimated to cost: Kubernetes' numbers for its well-known examples.

use std::collections::BTreeMap;

use wasmkube_cel::{Decl, Env, Type, check};

/// The largest request, and what is left of it for a text between quotes.
const REQUEST: u64 = 3 * 1024 * 1024;
const TEXT: u64 = REQUEST - 2;

fn text(most: Option<u64>) -> Decl {
    Decl::scalar(Type::Text, most.map_or(TEXT, |most| most * 4), 2)
}

fn number() -> Decl {
    Decl::scalar(Type::Double, 0, 1)
}

fn time() -> Decl {
    Decl::scalar(Type::Timestamp, 32, 21)
}

fn list(items: Decl, most: Option<u64>) -> Decl {
    let room = (REQUEST - 2) / (items.least + 1);
    Decl::list(items, most.unwrap_or(room))
}

fn map(values: Decl, most: Option<u64>) -> Decl {
    let room = (REQUEST - 2) / (values.least + 6);
    Decl::map(values, most.unwrap_or(room))
}

fn object(fields: &[(&str, Decl)], least: u64) -> Decl {
    let fields: BTreeMap<String, Decl> = fields.iter().map(|(name, decl)| ((*name).to_owned(), decl.clone())).collect();
    Decl::object("selfType", fields, least)
}

fn cost(source: &str, decl: &Decl) -> u64 {
    let env = Env::new().with("self", decl.of.clone()).with("oldSelf", decl.of.clone());
    check(source, &env).unwrap_or_else(|why| panic!("{why}")).cost(decl)
}

/// A name, a type whose sizes may be declared, an expression, its cost without sizes, and a size with the cost it makes.
type Case = (&'static str, fn(Option<u64>) -> Decl, &'static str, u64, (u64, u64));

#[test]
fn estimates_with_and_without_declared_sizes() {
    let two_fields = || object(&[("required", text(None)), ("optional", text(None))], 2 + 8 + 2 + 4);
    assert_eq!(two_fields().least, 16);
    let cases: &[Case] = &[
        ("numbers", |n| list(number(), n), "self.all(x, true)", 4_718_591, (10, 32)),
        ("texts", |n| list(text(None), n), "self.all(x, true)", 3_145_727, (20, 62)),
        ("booleans", |n| list(Decl::scalar(Type::Bool, 0, 4), n), "self.all(x, true)", 1_887_437, (5, 17)),
        ("lists of numbers", |n| list(list(number(), None), n), "self.all(x, true)", 3_145_727, (100, 302)),
        ("a map of numbers", |n| map(number(), n), "self.all(x, true)", 1_348_169, (10, 32)),
        ("a map of texts", |n| map(text(None), n), "self.all(x, true)", 1_179_647, (3, 11)),
        ("a part of a text", text, "self.contains('test')", 314_574, (10, 5)),
        ("a text's beginning", text, "self.startsWith('test')", 2, (15, 2)),
        ("texts put together", text, "size(self + \"hello\") > size(\"hello\")", 314_578, (4, 7)),
        ("a list's number", |n| list(number(), n), "self[1] == 0.0", 2, (5000, 2)),
        ("a list's texts", |n| list(text(None), n), "self[1] == self[1]", 314_577, (8, 314_577)),
        ("a simple pattern", text, "self.matches(\"x\")", 314_574, (50, 22)),
        ("a pattern for an empty text", text, "\"\".matches(\"(((((((((())))))))))[0-9]\")", 7, (10, 7)),
        ("an empty pattern", text, "self.matches(\"\")", 1, (100, 1)),
        ("keys and values", |n| map(text(n), n), "self.all(x, x.contains(self[x]))", 2_752_507, (10, 72)),
        ("a text that is compared", text, "self == \"x\"", 2, (0, 1)),
        ("more than fits into a request", |n| list(number(), n), "self.all(x, x == 0.0)", 6_291_454, (6_291_456, 25_165_826)),
        ("a value of unknown type", |n| list(Decl::scalar(Type::Dyn, TEXT, 1), n), "self[0] == 5", 3, (10, 3)),
        ("a list of lists", |n| list(list(number(), None), n), "self[0][0] == -1.0", 3, (51, 3)),
        ("a list of maps", |n| list(map(number(), None), n), "self.all(x, x.y == 25.2)", 6_291_452, (12, 74)),
        ("a map's field", |n| list(map(number(), None), n), "self[0].x > 2.0", 4, (3000, 4)),
        ("hours of a duration", |n| list(Decl::scalar(Type::Duration, 32, 3), n), "self[0].getHours() == 2", 4, (525, 4)),
        ("times", |n| list(time(), n), "self.all(x, true)", 428_963, (25, 77)),
        ("finding", text, "self.find('[0-9]+') == ''", 629_147, (10, 11)),
        ("joining", |n| list(text(n), n), "self.join(' ') == 'aa bb'", 329_853_068_905, (10, 43)),
        ("an order", |n| list(text(n), n), "self.isSorted() == true", 329_854_432_052, (10, 52)),
        ("small letters", text, "self.lowerAscii() == 'lower!'", 314_575, (10, 6)),
        ("sizes", |n| map(Decl::scalar(Type::Int, 0, 1), n), "oldSelf.size() == self.size()", 5, (10, 5)),
        ("times that are compared", |n| map(time(), n), "self[\"a\"] == self[\"b\"]", 8, (7, 8)),
        (
            "replacing",
            |n| object(&[("str", text(n)), ("before", text(Some(2))), ("after", text(Some(4)))], 2),
            "self.str.replace(self.before, self.after) == 'does not matter'",
            629_154,
            (4, 12),
        ),
        (
            "splitting",
            |n| object(&[("str", text(n)), ("separator", text(n))], 2),
            "self.str.split(self.separator) == []",
            629_160,
            (10, 22),
        ),
    ];
    for (name, make, source, free, (most, bound)) in cases {
        assert_eq!((cost(source, &make(None)), cost(source, &make(Some(*most)))), (*free, *bound), "{name}: {source}");
    }
    assert_eq!(cost("self.all(x, true)", &list(two_fields(), None)), 555_128);
    assert_eq!(cost("self.all(x, true)", &map(two_fields(), None)), 428_963);
    assert_eq!(cost("self.contains('A')", &Decl::scalar(Type::Text, 9, 2)), 2, "the longest of declared values");
}

#[test]
fn loops_in_loops_multiply() {
    let numbers = |most| list(number(), most);
    assert_eq!(cost("self.all(x, self.all(y, true))", &numbers(Some(10))), 352);
    assert_eq!(cost("self.all(x, self.all(y, self.all(z, true)))", &numbers(Some(10))), 3552);
    assert!(cost("self.all(x, self.all(y, true))", &numbers(None)) > 100_000_000);
    let endless = "self.map(x, self.map(y, self.map(z, self.map(w, self.join('-'))))).size() > 0";
    assert_eq!(cost(endless, &list(text(None), None)), u64::MAX, "what cannot be counted stays at the largest number");
}

#[test]
fn nothing_is_asked_for_presence() {
    assert_eq!(cost("has(self.x)", &map(number(), None)), 1);
    let both = object(&[("a", number()), ("b", number())], 2);
    assert_eq!(cost("!has(self.a) || has(self.b) && self.b > self.a", &both), 8);
}
