//! JSONPath in kubectl's dialect (`k8s.io/client-go/util/jsonpath`): templates of text and `{actions}`, with fields,
//! wildcards, recursive descent, slices, unions, filters and `{range}` … `{end}`.
//!
//! kubectl prints with it (`-o jsonpath=`, custom columns), and CustomResourceDefinitions name their printer columns and
//! scale fields in it.

mod parse;

use std::borrow::Cow;

use serde_json::Value;

/// A parsed template.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    nodes: Vec<Node>,
    strict: bool,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Action(Vec<Step>),
    Range(Vec<Step>, Vec<Node>),
}

/// A step of an expression; each maps a list of values to a list of values.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Wildcard,
    Recursive,
    Slice { start: Option<i64>, end: Option<i64>, step: Option<i64>, single: bool },
    Union(Vec<Vec<Step>>),
    Filter { left: Vec<Step>, operator: String, right: Vec<Step> },
    Literal(Value),
}

type Values<'a> = Vec<Cow<'a, Value>>;

impl JsonPath {
    /// Reads a template; the error is kubectl's. Missing keys give nothing.
    pub fn parse(template: &str) -> Result<Self, String> {
        Ok(JsonPath { nodes: parse::template(template)?, strict: false })
    }

    /// Reads a bare path as kubectl's flags and printer columns take it: `x.y`, `.x.y`, `{x.y}` or `{.x.y}`.
    pub fn parse_relaxed(path: &str) -> Result<Self, String> {
        if path.is_empty() {
            return JsonPath::parse("");
        }
        let inner = match path.strip_prefix('{') {
            Some(rest) => rest.strip_suffix('}'),
            None => (!path.ends_with('}')).then_some(path),
        };
        let inner = inner.ok_or_else(|| {
            format!("unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{{name1.name2}}' or '{{.name1.name2}}', got {path:?}")
        })?;
        JsonPath::parse(&format!("{{.{}}}", inner.strip_prefix('.').unwrap_or(inner)))
    }

    /// Makes missing keys an error.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// The values of each action, in order; texts count as actions.
    pub fn find<'a>(&'a self, data: &'a Value) -> Result<Vec<Values<'a>>, String> {
        let mut out = Vec::new();
        self.run(&self.nodes, data, &mut out)?;
        Ok(out)
    }

    /// The first value of the first action.
    pub fn first<'a>(&'a self, data: &'a Value) -> Option<Cow<'a, Value>> {
        self.find(data).ok()?.into_iter().next()?.into_iter().next()
    }

    /// The template filled in with `data`.
    pub fn render(&self, data: &Value) -> Result<String, String> {
        let mut text = String::new();
        for values in self.find(data)? {
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    text.push(' ');
                }
                text += &printed(value);
            }
        }
        Ok(text)
    }

    fn run<'a>(&'a self, nodes: &'a [Node], data: &'a Value, out: &mut Vec<Values<'a>>) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push(vec![Cow::Owned(Value::from(text.as_str()))]),
                Node::Action(steps) => out.push(self.walk(steps, vec![Cow::Borrowed(data)])?),
                Node::Range(steps, body) => {
                    for value in self.walk(steps, vec![Cow::Borrowed(data)])? {
                        if let Cow::Borrowed(value) = value {
                            self.run(body, value, out)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn walk<'a>(&'a self, steps: &'a [Step], input: Values<'a>) -> Result<Values<'a>, String> {
        let mut here = input;
        for step in steps {
            here = self.step(step, here)?;
        }
        Ok(here)
    }

    fn step<'a>(&'a self, step: &'a Step, input: Values<'a>) -> Result<Values<'a>, String> {
        let mut out = Vec::new();
        match step {
            Step::Field(name) if name.is_empty() => return Ok(input),
            Step::Field(name) => {
                let some = !input.is_empty();
                out.extend(borrowed(input).filter_map(|v| v.get(name.as_str()).map(Cow::Borrowed)));
                if out.is_empty() && some && self.strict {
                    return Err(format!("{name} is not found"));
                }
            }
            Step::Wildcard => borrowed(input).for_each(|v| out.extend(children(v).map(Cow::Borrowed))),
            Step::Recursive => borrowed(input).for_each(|v| descend(v, &mut out)),
            Step::Slice { start, end, step, single } => {
                for value in borrowed(input).filter(|v| !v.is_null()) {
                    slice(value, *start, *end, *step, *single, &mut out)?;
                }
            }
            Step::Union(lists) => {
                for list in lists {
                    out.extend(self.walk(list, input.clone())?);
                }
            }
            Step::Filter { left, operator, right } => {
                for value in borrowed(input).filter(|v| !v.is_null()) {
                    let Value::Array(list) = value else {
                        return Err(format!("{value} is not array or slice and cannot be filtered"));
                    };
                    for item in list {
                        if self.passes(item, left, operator, right)? {
                            out.push(Cow::Borrowed(item));
                        }
                    }
                }
            }
            Step::Literal(value) => out.push(Cow::Borrowed(value)),
        }
        Ok(out)
    }

    fn passes(&self, item: &Value, left: &[Step], operator: &str, right: &[Step]) -> Result<bool, String> {
        let lefts = self.walk(left, vec![Cow::Borrowed(item)]);
        if operator == "exists" {
            return Ok(lefts.is_ok_and(|v| !v.is_empty()));
        }
        let (lefts, rights) = (lefts?, self.walk(right, vec![Cow::Borrowed(item)])?);
        match (lefts.as_slice(), rights.as_slice()) {
            ([], _) | (_, []) => Ok(false),
            ([left], [right]) => compare(left, operator, right),
            _ => Err("can only compare one element at a time".to_owned()),
        }
    }
}

/// Literals have no fields, so only borrowed values can go on.
fn borrowed<'a>(values: Values<'a>) -> impl Iterator<Item = &'a Value> {
    values.into_iter().filter_map(|v| match v {
        Cow::Borrowed(v) => Some(v),
        Cow::Owned(_) => None,
    })
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Object(map) => Box::new(map.values()),
        Value::Array(list) => Box::new(list.iter()),
        _ => Box::new(std::iter::empty()),
    }
}

/// Every value that has children, parents first. Parsed JSON is bounded in depth, and so is this.
fn descend<'a>(value: &'a Value, out: &mut Values<'a>) {
    if children(value).next().is_some() {
        out.push(Cow::Borrowed(value));
        children(value).for_each(|v| descend(v, out));
    }
}

fn slice<'a>(
    value: &'a Value,
    start: Option<i64>,
    end: Option<i64>,
    step: Option<i64>,
    single: bool,
    out: &mut Values<'a>,
) -> Result<(), String> {
    let Value::Array(list) = value else {
        return Err(format!("{} is not array or slice", crate::patch::go_type_name(value)));
    };
    let length = list.len() as i64;
    let from = start.map_or(0, |s| if s < 0 { s + length } else { s });
    let to = match end {
        _ if single => from + 1,
        None => length,
        Some(e) if e < 0 => e + length,
        Some(e) => e,
    };
    let outside = |index: i64| Err(format!("array index out of bounds: index {index}, length {length}"));
    if from == to {
        return Ok(());
    }
    if from >= length || from < 0 {
        return outside(from);
    }
    if to > length || to < 0 {
        return outside(to - 1);
    }
    if from > to {
        return Err(format!("starting index {from} is greater than ending index {to}"));
    }
    let step = match step {
        Some(step) if step <= 0 => return Err("step must be > 0".to_owned()),
        step => step.unwrap_or(1) as usize,
    };
    out.extend(list.iter().take(to as usize).skip(from as usize).step_by(step).map(Cow::Borrowed));
    Ok(())
}

fn compare(left: &Value, operator: &str, right: &Value) -> Result<bool, String> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let order = match (left, right) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64().partial_cmp(&b.as_f64()),
        },
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) if matches!(operator, "==" | "!=") => Some(a.cmp(b)),
        (Value::Bool(_), Value::Bool(_)) => return Err("invalid type for comparison".to_owned()),
        _ => None,
    };
    let Some(order) = order else { return Err("incompatible types for comparison".to_owned()) };
    match operator {
        "==" => Ok(order == Equal),
        "!=" => Ok(order != Equal),
        "<" => Ok(order == Less),
        ">" => Ok(order == Greater),
        "<=" => Ok(order != Greater),
        ">=" => Ok(order != Less),
        other => Err(format!("unrecognized filter operator {other}")),
    }
}

/// A value as kubectl prints it: texts bare, lists and objects as Go's JSON.
pub fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => go_number(number),
        // Go's encoder hides what could end a script element.
        Value::Array(_) | Value::Object(_) => {
            value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
        }
        other => other.to_string(),
    }
}

/// A number as Go's `%v` writes it.
fn go_number(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(f) if number.is_f64() => {
            if f != 0.0 && !(1e-4..1e21).contains(&f.abs()) {
                let text = format!("{f:e}");
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |d| ('-', d));
                format!("{mantissa}e{sign}{digits:0>2}")
            } else {
                format!("{f}")
            }
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pods() -> Value {
        json!({"kind": "List", "items": [
            {"metadata": {"name": "a", "labels": {"app.io/x": "1", "b": "<"}}, "n": 1, "ok": true, "c": [{"i": "x"}, {"i": "y"}]},
            {"metadata": {"name": "b"}, "n": 2, "ok": false, "c": [{"i": "z"}]},
        ]})
    }

    #[test]
    fn renders() {
        for (template, expect) in [
            ("{.kind}", "List"),
            ("kind={.kind}\n", "kind=List\n"),
            ("{.items[*].metadata.name}", "a b"),
            ("{.items[0].metadata.name}", "a"),
            ("{.items[-1].metadata.name}", "b"),
            ("{.items[0:1].n}", "1"),
            ("{.items[:].n}", "1 2"),
            ("{.items[::2].n}", "1"),
            ("{.items[0,1].n}", "1 2"),
            ("{.items[*]['metadata.name', 'n']}", "a b 1 2"),
            ("{.items[0].metadata.labels.app\\.io/x}", "1"),
            ("{.items[0].metadata.labels['app\\.io/x']}", "1"),
            ("{..name}", "a b"),
            ("{..c[*].i}", "x y z"),
            ("{.items[?(@.n>1)].metadata.name}", "b"),
            ("{.items[?(@.metadata.name=='a')].n}", "1"),
            ("{.items[?(@.metadata.name==\"b\")].n}", "2"),
            ("{.items[?(@.metadata.labels)].n}", "1"),
            ("{.items[?(@.ok==true)].n}", "1"),
            ("{range .items[*]}{.metadata.name}{\"\\t\"}{.n}{\"\\n\"}{end}", "a\t1\nb\t2\n"),
            ("{range .items[*]}{range .c[*]}{.i},{end};{end}!", "x,y,;z,;!"),
            ("{.items[0].metadata.labels}", "{\"app.io/x\":\"1\",\"b\":\"\\u003c\"}"),
            ("{.missing.key}", ""),
            ("{'quoted'} {1} {true}", "quoted 1 true"),
            ("{$.kind}", "List"),
            ("{.items[*].n} {.kind}", "1 2 List"),
            ("", ""),
        ] {
            let path = JsonPath::parse(template).unwrap_or_else(|e| panic!("{template}: {e}"));
            assert_eq!(path.render(&pods()).as_deref(), Ok(expect), "{template}");
        }
    }

    #[test]
    fn errors() {
        for (template, expect) in [
            ("{.a", "unclosed action"),
            ("{.a[0", "unterminated array"),
            ("{.a[x]}", "invalid array index x"),
            ("{.a[?(@.b}", "unterminated filter"),
            ("{end}", "not in range, nothing to end"),
            ("{hello}", "unrecognized identifier hello"),
            ("{'a}", "unterminated quoted string"),
        ] {
            assert_eq!(JsonPath::parse(template).unwrap_err(), expect, "{template}");
        }
        let data = pods();
        assert_eq!(
            JsonPath::parse("{.items[5]}").unwrap().render(&data).unwrap_err(),
            "array index out of bounds: index 5, length 2"
        );
        assert_eq!(JsonPath::parse("{.nope}").unwrap().strict().render(&data).unwrap_err(), "nope is not found");
        let deep = format!("{{{}", "[?(".repeat(10_000));
        assert!(JsonPath::parse(&deep).is_err());
    }

    #[test]
    fn relaxed() {
        for path in ["kind", ".kind", "{kind}", "{.kind}"] {
            assert_eq!(JsonPath::parse_relaxed(path).unwrap().first(&pods()).unwrap().as_str(), Some("List"), "{path}");
        }
        assert!(JsonPath::parse_relaxed("{kind").is_err());
        assert_eq!(printed(&json!(1e21)), "1e+21");
        assert_eq!(printed(&json!(0.5)), "0.5");
    }
}
