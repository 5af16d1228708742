//! Everything that reads bytes from outside, each behind one function for fuzzers: any bytes are good, and none may panic, loop or
//! be answered with an internal error.
//!
//! `tests/mutations.rs` runs the stored inputs of `corpus/` and seeded mutations of them; `fuzz/` at the root of the repository
//! runs the same functions under libFuzzer.

mod server;

use std::collections::BTreeMap;

use cluster::wire;
use object::{JsonPath, LabelSelector, Quantity, Time, Value};
pub use server::Server;

/// Reads bytes. The server is for those that are read on the way into the API.
pub type Decoder = fn(&mut Server, &[u8]);

/// All decoders, by the names of their directories in `corpus/` and of their targets in `fuzz/`.
pub const DECODERS: [(&str, Decoder); 16] = [
    ("json", |server, bytes| server.create("application/json", bytes)),
    ("yaml", |server, bytes| server.create("application/yaml", bytes)),
    ("protobuf", |server, bytes| server.create("application/vnd.kubernetes.protobuf", bytes)),
    ("json_patch", |server, bytes| server.patch("application/json-patch+json", bytes)),
    ("merge_patch", |server, bytes| server.patch("application/merge-patch+json", bytes)),
    ("strategic_patch", |server, bytes| server.patch("application/strategic-merge-patch+json", bytes)),
    ("apply", |server, bytes| server.patch("application/apply-patch+yaml", bytes)),
    ("definition", |server, bytes| server.define(bytes)),
    ("query", |server, bytes| server.list(bytes)),
    ("token", |server, bytes| server.identify(bytes)),
    ("label_selector", |_, bytes| text(bytes, label_selector)),
    ("cel", |_, bytes| text(bytes, expression)),
    ("jsonpath", |_, bytes| text(bytes, json_path)),
    ("quantity", |_, bytes| text(bytes, quantity)),
    ("time", |_, bytes| text(bytes, |text| drop(Time::parse(text).map(Time::rfc3339_micros)))),
    ("wire", |_, bytes| wire_messages(bytes)),
];

/// Runs the decoder of this name.
pub fn decode(name: &str, server: &mut Server, bytes: &[u8]) {
    if let Some((_, decoder)) = DECODERS.iter().find(|(known, _)| *known == name) {
        decoder(server, bytes);
    }
}

fn text(bytes: &[u8], read: fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
}

fn label_selector(text: &str) {
    if let Ok(selector) = LabelSelector::parse(text) {
        selector.matches(&BTreeMap::from([("app".to_owned(), "web".to_owned())]));
    }
}

/// What the checker sees in the data below: some of it declared, the rest anything.
fn declared() -> cel::Decl {
    use cel::{Decl, Type};
    let inner = [("c".to_owned(), Decl::scalar(Type::Int, 0, 1)), ("d".to_owned(), Decl::scalar(Type::Bool, 0, 4))];
    let fields = [
        ("a".to_owned(), Decl::list(Decl::scalar(Type::Dyn, 1000, 1), 100)),
        ("b".to_owned(), Decl::object("self.b", inner.into(), 2)),
        ("m".to_owned(), Decl::map(Decl::scalar(Type::Timestamp, 32, 21), 10)),
        ("text".to_owned(), Decl::scalar(Type::Text, 1000, 2)),
    ];
    Decl::object("self", fields.into(), 2)
}

fn expression(text: &str) {
    let declared = declared();
    let env = cel::Env::new().with("self", declared.of.clone()).with("oldSelf", cel::Type::optional(declared.of.clone()));
    match cel::check(text, &env) {
        Ok(checked) => drop((checked.result().to_string(), checked.cost(&declared))),
        Err(why) => assert!(!why.failures.is_empty() && why.to_string().starts_with("ERROR: <input>:"), "{text:?}"),
    }
    let Ok(program) = cel::Program::compile(text, &["self", "oldSelf"]) else { return };
    let data: Value = serde_json::json!({"a": [1, 2.5, "x"], "b": {"c": null, "d": true}, "text": "a-b-c"});
    let (own, old) = (cel::Value::from_json(&data), cel::Value::from_json(&data));
    let mut budget = 20_000;
    let _ = program.run(&cel::Activation::new().with("self", own).with("oldSelf", old), &mut budget);
}

fn json_path(text: &str) {
    let data = serde_json::json!({"items": [{"a": {"b": 1}}, {"a": {"b": "two"}}], "text": "x"});
    if let Ok(path) = JsonPath::parse(text) {
        let _ = path.render(&data);
    }
}

fn quantity(text: &str) {
    if let Some(quantity) = Quantity::parse(text) {
        let (_, _, again) = (quantity.value(), quantity.milli_value(), quantity.to_string());
        assert!(Quantity::parse(&again).is_some_and(|same| same.to_string() == again), "{text:?} is written as {again:?}");
    }
}

fn wire_messages(bytes: &[u8]) {
    if let Ok(input) = wire::decode::<wire::StepInput>(bytes) {
        assert!(wire::decode::<wire::StepInput>(&wire::encode(&input)).is_ok(), "what is written can be read");
    }
    let _ = wire::decode::<wire::StepOutput>(bytes);
}
