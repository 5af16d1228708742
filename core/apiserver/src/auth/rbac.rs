//! Role-based access control: rules of roles, given to subjects by bindings.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/>

use object::order::Order as _;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use object::value::{list_at, str_at};
use object::{GroupResource, Value};
use store::{Key, Object, Store, View};

use super::{Attributes, Decision};
use crate::identity::UserInfo;
use crate::server::ApiServer;

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// One rule of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// API groups, or `*`.
    pub api_groups: Vec<String>,
    /// Resources and subresources, or `*`.
    pub resources: Vec<String>,
    /// Paths that are no resources; a `*` at the end stands for anything.
    pub urls: Vec<String>,
    /// Names the rule is limited to; none means all.
    pub names: Vec<String>,
    /// Verbs, or `*`.
    pub verbs: Vec<String>,
}

impl Rule {
    /// Reads a rule.
    pub fn of(rule: &Value) -> Self {
        let texts = |key: &str| list_at(rule, &[key]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Rule {
            api_groups: texts("apiGroups"),
            resources: texts("resources"),
            urls: texts("nonResourceURLs"),
            names: texts("resourceNames"),
            verbs: texts("verbs"),
        }
    }

    /// Whether the rule allows this.
    pub fn allows(&self, wanted: &Attributes<'_>) -> bool {
        let has = |list: &[String], text: &str| list.iter().any(|entry| entry == "*" || entry == text);
        if !has(&self.verbs, wanted.verb) {
            return false;
        }
        if !wanted.is_resource() {
            return self.urls.iter().any(|url| url_matches(url, wanted.path));
        }
        has(&self.api_groups, wanted.group)
            && self.resources.iter().any(|resource| resource_matches(resource, wanted))
            && (self.names.is_empty() || self.names.iter().any(|name| name == wanted.name))
    }
}

/// Whether a path falls under a rule's URL.
pub fn url_matches(rule: &str, path: &str) -> bool {
    rule == "*" || rule == path || rule.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix.trim_end_matches('*')))
}

fn resource_matches(rule: &str, wanted: &Attributes<'_>) -> bool {
    let (resource, subresource) = rule.split_once('/').unwrap_or((rule, ""));
    match wanted.subresource {
        _ if rule == "*" => true,
        "" => subresource.is_empty() && resource == wanted.resource,
        wanted_sub => subresource == wanted_sub && (resource == "*" || resource == wanted.resource),
    }
}

/// The rules of a role, read once per version of it.
struct Rules(Vec<Rule>);

impl View for Rules {
    fn of(object: &Value) -> Self {
        Rules(rules_of(object))
    }
}

/// The rules of a role or ClusterRole.
pub fn rules_of(role: &Value) -> Vec<Rule> {
    list_at(role, &["rules"]).iter().map(Rule::of).collect()
}

/// A role that a binding names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRef {
    /// `Role` or `ClusterRole`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl RoleRef {
    /// Reads a binding's `roleRef`.
    pub fn of(binding: &Value) -> Self {
        let text = |key: &str| str_at(binding, &["roleRef", key]).to_owned();
        RoleRef { kind: text("kind"), name: text("name") }
    }

    /// The resource that holds such roles.
    pub fn resource(&self) -> GroupResource {
        GroupResource::literal(GROUP, if self.kind == "Role" { "roles" } else { "clusterroles" })
    }

    fn role<'s>(&self, store: &'s Store, namespace: &str) -> Option<&'s Arc<Object>> {
        let namespace = if self.kind == "Role" { namespace } else { "" };
        store.get(&Key::new(&self.resource(), namespace, &self.name))
    }

    /// The rules of the role, if it is there.
    pub fn rules<'s>(&self, store: &'s Store, namespace: &str) -> Option<&'s [Rule]> {
        self.role(store, namespace).map(|role| role.view::<Rules>().0.as_slice())
    }
}

/// One binding seen from one of its subjects.
#[derive(Debug)]
struct Grant {
    role: RoleRef,
    /// The binding's name; as `name/namespace` where it has one.
    binding: String,
    /// The subject as reasons name it: `User "jane"`.
    subject: String,
}

/// Grants by subject: those for the whole cluster, and those within a namespace.
#[derive(Debug, Default)]
struct Index {
    cluster: BTreeMap<Subject, Vec<Grant>>,
    namespaces: BTreeMap<String, BTreeMap<Subject, Vec<Grant>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    User(String),
    Group(String),
}

/// The grants of all bindings, made anew after a binding changed.
#[derive(Debug, Default)]
pub struct Bindings(RefCell<Option<Arc<Index>>>);

impl Bindings {
    /// Something at this key changed.
    pub fn changed(&self, key: &Key) {
        if &*key.resource.group == GROUP {
            self.0.replace(None);
        }
    }

    fn index(&self, store: &Store) -> Arc<Index> {
        self.0.borrow_mut().get_or_insert_with(|| Arc::new(Index::of(store))).clone()
    }
}

impl Index {
    fn of(store: &Store) -> Self {
        let mut index = Index::default();
        for object in store.list(&GroupResource::literal(GROUP, "clusterrolebindings"), None) {
            add(&mut index.cluster, object);
        }
        for object in store.list(&GroupResource::literal(GROUP, "rolebindings"), None) {
            add(index.namespaces.entry(object.key.namespace.to_string()).or_default(), object);
        }
        index
    }

    /// The grants that reach this user, each with the namespace its role is looked up in.
    fn grants(&self, user: &UserInfo, namespace: &str) -> impl Iterator<Item = &Grant> {
        let subjects: Vec<Subject> =
            std::iter::once(Subject::User(user.name.clone())).chain(user.groups.iter().cloned().map(Subject::Group)).collect();
        let local = self.namespaces.get(namespace).filter(|_| !namespace.is_empty());
        [Some(&self.cluster), local].into_iter().flatten().flat_map(move |grants| {
            let found: Vec<&Grant> = subjects.iter().filter_map(|subject| grants.get(subject)).flatten().collect();
            found
        })
    }
}

fn add(grants: &mut BTreeMap<Subject, Vec<Grant>>, object: &Object) {
    let binding = object.value();
    let namespace = &*object.key.namespace;
    for subject in list_at(&binding, &["subjects"]) {
        let (kind, name) = (str_at(subject, &["kind"]), str_at(subject, &["name"]));
        let said = str_at(subject, &["namespace"]);
        let (key, shown) = match kind {
            "User" => (Subject::User(name.to_owned()), name.to_owned()),
            "Group" => (Subject::Group(name.to_owned()), name.to_owned()),
            "ServiceAccount" => {
                let of = if said.is_empty() { namespace } else { said };
                (Subject::User(format!("system:serviceaccount:{of}:{name}")), format!("{name}/{said}"))
            }
            _ => continue,
        };
        let binding_name =
            if namespace.is_empty() { object.key.name.to_string() } else { format!("{}/{namespace}", object.key.name) };
        let grant = Grant { role: RoleRef::of(&binding), binding: binding_name, subject: format!("{kind} {shown:?}") };
        grants.entry(key).or_default().push(grant);
    }
}

/// Judges by rules. Nothing forbids here: what no rule allows is not allowed.
pub fn authorize(api: &ApiServer, user: &UserInfo, wanted: &Attributes<'_>) -> Decision {
    let index = api.bindings.index(&api.store);
    let mut missing = Vec::new();
    for grant in index.grants(user, wanted.namespace) {
        let Some(rules) = grant.role.rules(&api.store, wanted.namespace) else {
            missing.push(format!("{}.{GROUP} {:?} not found", grant.role.kind.to_lowercase(), grant.role.name));
            continue;
        };
        if rules.iter().any(|rule| rule.allows(wanted)) {
            let of = format!("of {} {:?} to {}", grant.role.kind, grant.role.name, grant.subject);
            let kind = if grant.binding.contains('/') { "RoleBinding" } else { "ClusterRoleBinding" };
            return Decision { allowed: true, reason: format!("RBAC: allowed by {kind} {:?} {of}", grant.binding) };
        }
    }
    missing.order();
    missing.dedup();
    let reason = match missing.as_slice() {
        [] => String::new(),
        [one] => format!("RBAC: {one}"),
        several => format!("RBAC: [{}]", several.join(", ")),
    };
    Decision { allowed: false, reason }
}

/// All rules that reach this user in a namespace.
pub fn rules_for(api: &ApiServer, user: &UserInfo, namespace: &str) -> Vec<Rule> {
    let index = api.bindings.index(&api.store);
    let mut rules = Vec::new();
    for grant in index.grants(user, namespace) {
        rules.extend_from_slice(grant.role.rules(&api.store, namespace).unwrap_or_default());
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rule_allows() {
        let rule = |groups: &str, resources: &str, names: &str, verbs: &str| {
            let list = |text: &str| text.split_whitespace().map(|t| t.replace("core", "")).collect();
            Rule {
                api_groups: list(groups),
                resources: list(resources),
                names: list(names),
                verbs: list(verbs),
                ..Rule::default()
            }
        };
        let pods = Attributes { verb: "get", resource: "pods", name: "a", ..Attributes::default() };
        let log = Attributes { subresource: "log", ..pods.clone() };
        for (case, rule, wanted, allowed) in [
            ("plain", rule("core", "pods", "", "get"), &pods, true),
            ("another verb", rule("core", "pods", "", "list"), &pods, false),
            ("another group", rule("apps", "pods", "", "get"), &pods, false),
            ("everything", rule("*", "*", "", "*"), &log, true),
            ("a subresource is not its resource", rule("core", "pods", "", "get"), &log, false),
            ("one subresource", rule("core", "pods/log", "", "get"), &log, true),
            ("that subresource of all", rule("core", "*/log", "", "get"), &log, true),
            ("pods/* is no pattern", rule("core", "pods/*", "", "get"), &log, false),
            ("this name", rule("core", "pods", "a b", "get"), &pods, true),
            ("another name", rule("core", "pods", "b", "get"), &pods, false),
        ] {
            assert_eq!(rule.allows(wanted), allowed, "{case}");
        }
    }

    #[test]
    fn paths() {
        for (rule, path, matches) in [
            ("/healthz", "/healthz", true),
            ("/healthz", "/healthz/x", false),
            ("/logs*", "/logsx", true),
            ("/api/*", "/api", false),
            ("*", "/x", true),
        ] {
            assert_eq!(url_matches(rule, path), matches, "{rule} {path}");
        }
    }
}
