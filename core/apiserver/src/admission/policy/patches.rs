//! What a mutating policy's expressions come to: apply configurations and JSON patches.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/>

use cel::{Compiled, Value as CelValue};
use object::patch::json::{Outcome, try_apply};
use object::value::{set, str_at};
use object::{Map, Value};
use schema::types::Type;

use super::expressions::{Evaluation, read};

/// One mutation of a policy.
pub enum Patch {
    /// Makes an object that is merged.
    Apply(Compiled),
    /// Makes a list of operations.
    Json(Compiled),
}

impl Patch {
    /// Reads a mutation that validation has let pass.
    pub fn of(mutation: &Value) -> Self {
        match str_at(mutation, &["patchType"]) {
            "JSONPatch" => Patch::Json(read(str_at(mutation, &["jsonPatch", "expression"]))),
            _ => Patch::Apply(read(str_at(mutation, &["applyConfiguration", "expression"]))),
        }
    }

    /// Changes an object of type `ty`; otherwise says why it cannot be.
    pub fn apply(&self, evaluation: &mut Evaluation<'_>, object: &mut Value, ty: Type<'_>) -> Result<(), String> {
        match self {
            Patch::Apply(program) => {
                let made = evaluation.run(program).map_err(|why| why.to_string())?;
                merge(&made, object, ty).map_err(|(step, why)| format!("{step}: {why}"))
            }
            Patch::Json(program) => {
                let made = evaluation.run(program).map_err(|why| why.to_string())?;
                let patch = operations(&made)?;
                let mut changed = object.clone();
                match try_apply(&mut changed, &patch).map_err(|why| format!("JSONPath: {}", why.message))? {
                    Outcome::Applied => *object = changed,
                    // A test that does not hold means that there is nothing to do.
                    Outcome::TestFailed => {}
                    Outcome::DoesNotApply(op, path) => {
                        let why = format!("{op} operation does not apply: doc is missing path: {path:?}: missing value");
                        return Err(format!("JSONPath: {why}"));
                    }
                }
                Ok(())
            }
        }
    }
}

fn merge(made: &CelValue, object: &mut Value, ty: Type<'_>) -> Result<(), (&'static str, String)> {
    if !matches!(made, CelValue::Struct(_)) {
        return Err(("unsupported return type from ApplyConfiguration expression", made.type_name().to_owned()));
    }
    well_named(made).map_err(|why| ("type mismatch", why))?;
    let mut patch = made.to_json().map_err(|why| ("invalid return type", why))?;
    for key in ["apiVersion", "kind"] {
        set(&mut patch, &[key], str_at(object, &[key]));
    }
    schema::apply::mutate(object, patch, ty).map_err(|why| ("error applying patch", why))
}

/// Objects are of the types of the fields in which they stand.
fn well_named(made: &CelValue) -> Result<(), String> {
    let mut found = Vec::new();
    if let CelValue::Struct(object) = made {
        made.misnamed(&object.name, &mut found);
    }
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

/// A list of `JSONPatch{…}` as a patch.
fn operations(made: &CelValue) -> Result<Value, String> {
    let mismatch = || "type mismatch: JSONPatchType.expression should evaluate to array".to_owned();
    let CelValue::List(list) = made else { return Err(mismatch()) };
    let operation = |made: &CelValue| {
        let CelValue::Struct(stated) = made else { return Err(format!("{} of JSONPatch", mismatch())) };
        if stated.name != "JSONPatch" {
            return Err(format!("{} of JSONPatch", mismatch()));
        }
        let mut operation = Map::new();
        for (field, value) in &stated.fields {
            match (field.as_str(), value) {
                ("op" | "path" | "from", CelValue::Text(text)) => drop(operation.insert(field.clone(), (&**text).into())),
                ("op" | "path" | "from", other) => {
                    return Err(format!("unexpected type {} for JSONPatchType '{field}' field", other.type_name()));
                }
                ("value", value) => {
                    well_named(value).map_err(|why| format!("type mismatch: {why}"))?;
                    let value = value.to_json().map_err(|why| {
                        format!("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {why}")
                    })?;
                    operation.insert(field.clone(), value);
                }
                (field, _) => return Err(format!("unexpected JSONPatchType field: {field}")),
            }
        }
        Ok(Value::Object(operation))
    };
    list.iter().map(operation).collect::<Result<Vec<_>, _>>().map(Value::from)
}
