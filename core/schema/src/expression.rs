//! Expressions of admission: what those of webhooks and policies may name, of which types, and reading them.
//!
//! Validation reads and checks an expression to refuse it, admission reads it to run it, and the status of a policy says what
//! is wrong with it once the types of the objects are known.
//! <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/>

use cel::{Checked, Compiled, Env, Program, Type};

mod decl;

pub use decl::of_type;

/// What an expression may name besides the request and its objects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// `params`, of policies that have a kind of parameters.
    pub params: bool,
    /// `authorizer`; the texts of refusals go without.
    pub authorizer: bool,
    /// The types of objects and patches, of mutations.
    pub patch: bool,
}

/// What an expression comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// A condition.
    Bool,
    /// A message.
    Text,
    /// An annotation, or none.
    TextOrNull,
    /// `Object{…}`
    Object,
    /// A list of `JSONPatch{…}`
    Patches,
    /// Anything.
    Any,
}

/// Types of what is otherwise of any type.
#[derive(Clone, Debug)]
pub struct Types {
    /// Of `object` and `oldObject`.
    pub object: Type,
    /// Of `params`.
    pub params: Type,
}

impl Default for Types {
    fn default() -> Self {
        Types { object: Type::Dyn, params: Type::Dyn }
    }
}

/// Checks the expressions of one policy, and learns its variables on the way.
pub struct Checker {
    types: Types,
    /// The policy's variables; none where there is no such word.
    variables: Option<Vec<(String, Type)>>,
}

impl Checker {
    /// For expressions that know `variables`, of which none is known yet, or do not know the word.
    pub fn new(types: Types, variables: bool) -> Self {
        Checker { types, variables: variables.then(Vec::new) }
    }

    /// Checks a variable; those after it may name it.
    pub fn variable(&mut self, name: &str, source: &str, scope: Scope) -> Result<(), String> {
        let checked = self.check(source, scope);
        let of = checked.as_ref().map_or(Type::Dyn, |checked| as_variable(checked.result()));
        if let Some(known) = &mut self.variables {
            known.retain(|(other, _)| other != name);
            known.push((name.to_owned(), of));
        }
        checked.map(drop)
    }

    /// Checks an expression; otherwise says what is wrong, as Kubernetes' compiler does.
    pub fn expression(&self, source: &str, scope: Scope, returns: Returns) -> Result<(), String> {
        let found = self.check(source, scope)?;
        let found = found.result();
        let wanted = match returns {
            Returns::Any => return Ok(()),
            Returns::Bool => vec![Type::Bool],
            Returns::Text => vec![Type::Text],
            Returns::TextOrNull => vec![Type::Text, Type::Null],
            Returns::Object => vec![Type::open_object("Object")],
            Returns::Patches => vec![Type::list(patch())],
        };
        if wanted.contains(found) {
            return Ok(());
        }
        let shown: Vec<String> = wanted.iter().map(declared).collect();
        Err(match shown.as_slice() {
            [one] => format!("must evaluate to {one} but got {}", declared(found)),
            many => format!("must evaluate to one of [{}] but got {}", many.join(" "), declared(found)),
        })
    }

    /// What is wrong with an expression, whatever it comes to, without a word before it.
    pub fn issues(&self, source: &str, scope: Scope) -> Result<(), String> {
        cel::check(source, &self.env(scope)).map(drop).map_err(|why| why.to_string())
    }

    fn check(&self, source: &str, scope: Scope) -> Result<Checked, String> {
        cel::check(source, &self.env(scope)).map_err(|why| format!("compilation failed: {why}"))
    }

    fn env(&self, scope: Scope) -> Env {
        let mut env = Env::new()
            .with("object", self.types.object.clone())
            .with("oldObject", self.types.object.clone())
            .with("request", request())
            .with("namespaceObject", namespace());
        if let Some(variables) = &self.variables {
            env = env.with("variables", Type::object("kubernetes.variables", variables.iter().cloned()));
        }
        if scope.params {
            env = env.with("params", self.types.params.clone());
        }
        if scope.authorizer {
            env = env
                .with("authorizer", Type::named("kubernetes.authorization.Authorizer"))
                .with("authorizer.requestResource", Type::named("kubernetes.authorization.ResourceCheck"));
        }
        if scope.patch {
            env = env.with_made(Type::open_object("Object")).with_made(patch());
        }
        env
    }
}

/// Reads an expression that was checked before it was stored.
pub fn read(source: &str) -> Compiled {
    Program::read(source).map_err(|why| format!("compilation failed: {why}"))
}

/// Variables are of simple types, lists and maps of these, or of any.
fn as_variable(of: &Type) -> Type {
    match of {
        Type::Of(parts) => match (parts.name.as_str(), parts.parameters.as_slice()) {
            ("list", [item]) => Type::list(as_variable(item)),
            ("map", [key, value]) => Type::map(as_variable(key), as_variable(value)),
            _ => Type::Dyn,
        },
        Type::Object(_) | Type::Error | Type::Param(_) => Type::Dyn,
        simple => simple.clone(),
    }
}

/// A type as it is declared, which is not how errors inside expressions call it.
fn declared(of: &Type) -> String {
    match of {
        Type::Null => "null_type".to_owned(),
        Type::Timestamp => "google.protobuf.Timestamp".to_owned(),
        Type::Duration => "google.protobuf.Duration".to_owned(),
        Type::Of(parts) if !parts.parameters.is_empty() => {
            let parameters: Vec<String> = parts.parameters.iter().map(declared).collect();
            format!("{}({})", parts.name, parameters.join(", "))
        }
        other => other.to_string(),
    }
}

fn patch() -> Type {
    let text = ["op", "from", "path"].map(|name| (name.to_owned(), Type::Text));
    Type::object("JSONPatch", text.into_iter().chain([("value".to_owned(), Type::Dyn)]))
}

/// An object of these fields, each with its type's word.
fn object(name: &str, words: &str, others: Vec<(&str, Type)>) -> Type {
    let worded = words.split_whitespace().filter_map(|word| word.split_once(':'));
    let worded = worded.map(|(field, word)| {
        let of = match word {
            "texts" => Type::list(Type::Text),
            "labels" => Type::map(Type::Text, Type::Text),
            "extra" => Type::map(Type::Text, Type::list(Type::Text)),
            word => Type::named(word),
        };
        (field.to_owned(), of)
    });
    let others = others.into_iter().map(|(field, of)| (field.to_owned(), of));
    Type::object(format!("kubernetes.{name}"), worded.chain(others))
}

/// `BuildRequestType`
fn request() -> Type {
    let kind = object("GroupVersionKind", "group:string version:string kind:string", Vec::new());
    let resource = object("GroupVersionResource", "group:string version:string resource:string", Vec::new());
    let user = object("UserInfo", "username:string uid:string groups:texts extra:extra", Vec::new());
    let words =
        "subResource:string requestSubResource:string name:string namespace:string operation:string dryRun:bool options:dyn";
    let others = vec![
        ("kind", kind.clone()),
        ("requestKind", kind),
        ("resource", resource.clone()),
        ("requestResource", resource),
        ("userInfo", user),
    ];
    object("AdmissionRequest", words, others)
}

/// `BuildNamespaceType`
fn namespace() -> Type {
    let words = "name:string generateName:string namespace:string labels:labels annotations:labels UID:string \
                 creationTimestamp:timestamp deletionGracePeriodSeconds:int deletionTimestamp:timestamp generation:int \
                 resourceVersion:string finalizers:texts";
    let metadata = object("NamespaceMetadata", words, Vec::new());
    let words = "status:string type:string lastTransitionTime:timestamp message:string reason:string";
    let conditions = Type::list(object("NamespaceCondition", words, Vec::new()));
    let status = object("NamespaceStatus", "phase:string", vec![("conditions", conditions)]);
    let spec = object("NamespaceSpec", "finalizers:texts", Vec::new());
    object("Namespace", "", vec![("metadata", metadata), ("spec", spec), ("status", status)])
}
