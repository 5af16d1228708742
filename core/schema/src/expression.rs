//! Expressions of admission: what those of webhooks and policies may name, and reading them.
//!
//! Validation reads an expression to refuse it, admission reads it to run it; both do it here.
//! <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/>

use cel::Program;

/// What every expression of admission may name.
const ALWAYS: [&str; 4] = ["object", "oldObject", "request", "namespaceObject"];

/// What else an expression may name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// `params`, of policies that have a kind of parameters.
    pub params: bool,
    /// `authorizer`; the texts of refusals go without.
    pub authorizer: bool,
    /// `variables`, of policies that have some.
    pub variables: bool,
    /// The types of objects and patches, of mutations.
    pub patch: bool,
}

impl Scope {
    /// Everything.
    pub const ALL: Scope = Scope { params: true, authorizer: true, variables: true, patch: true };
}

/// Reads an expression; otherwise says why it cannot be, as Kubernetes' compiler does.
pub fn compile(source: &str, scope: Scope) -> Result<Program, String> {
    let Scope { params, authorizer, variables, patch } = scope;
    let more =
        [("params", params), ("authorizer", authorizer), ("variables", variables), ("Object", patch), ("JSONPatch", patch)];
    let more = more.into_iter().filter(|(_, known)| *known).map(|(name, _)| name);
    let names: Vec<&str> = ALWAYS.into_iter().chain(more).collect();
    Program::compile(source, &names).map_err(|why| format!("compilation failed: {why}"))
}
