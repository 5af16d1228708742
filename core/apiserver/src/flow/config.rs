//! What flow schemas and priority levels say, ready to be asked: which request belongs to which flow of which level.

use std::sync::Arc;

use object::Value;
use object::value::{bool_at, i64_at, list_at, str_at};

use crate::auth::Attributes;
use crate::identity::UserInfo;

/// Users that no name can be: a subject of all users.
const ALL: &str = "*";

/// What tells the flows of one schema apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distinguisher {
    None,
    ByUser,
    ByNamespace,
}

/// A flow schema.
#[derive(Debug)]
pub struct Schema {
    /// Its name.
    pub name: Arc<str>,
    /// Its identity, which is what answers show of it.
    pub uid: Arc<str>,
    /// The name of its priority level.
    pub level: Arc<str>,
    /// Lower comes first.
    pub precedence: i64,
    distinguisher: Distinguisher,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

#[derive(Debug)]
enum Subject {
    User(String),
    Group(String),
    Account { namespace: String, name: String },
}

#[derive(Debug)]
struct ResourceRule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    namespaces: Vec<String>,
    cluster: bool,
}

#[derive(Debug)]
struct PathRule {
    verbs: Vec<String>,
    paths: Vec<String>,
}

/// What a level does with requests that it has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// They are refused.
    Reject,
    /// They wait.
    Queue {
        /// Number of queues.
        queues: u32,
        /// Queues that one flow is spread over.
        hand: u32,
        /// Requests that one queue holds at most.
        length: u32,
    },
}

/// A priority level.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelSpec {
    /// Its name.
    pub name: Arc<str>,
    /// Its identity.
    pub uid: Arc<str>,
    /// Whether its requests never wait for others.
    pub exempt: bool,
    /// Its part of all seats.
    pub shares: u64,
    /// How many of its seats others may use.
    pub lendable_percent: u64,
    /// How many seats of others it may use, in percent of its own; `None` for as many as there are.
    pub borrowing_percent: Option<u64>,
    /// What becomes of requests that find no seat.
    pub response: Response,
}

fn strings(value: &Value, key: &str) -> Vec<String> {
    list_at(value, &[key]).iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// Whether a list names something, or everything. Validation sees to it that `*` stands alone.
fn names(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry == wanted || entry == ALL)
}

impl Subject {
    fn of(value: &Value) -> Option<Self> {
        let name = |of: &str| str_at(value, &[of, "name"]).to_owned();
        Some(match str_at(value, &["kind"]) {
            "User" => Subject::User(name("user")),
            "Group" => Subject::Group(name("group")),
            "ServiceAccount" => Subject::Account {
                namespace: str_at(value, &["serviceAccount", "namespace"]).to_owned(),
                name: name("serviceAccount"),
            },
            _ => return None,
        })
    }

    fn is(&self, user: &UserInfo) -> bool {
        match self {
            Subject::User(name) => name == ALL || *name == user.name,
            Subject::Group(name) => name == ALL || user.groups.contains(name),
            Subject::Account { namespace, name } => {
                let account = user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
                account.is_some_and(|(ns, said)| ns == namespace && (name == ALL || name == said))
            }
        }
    }
}

impl ResourceRule {
    fn of(value: &Value) -> Self {
        ResourceRule {
            verbs: strings(value, "verbs"),
            groups: strings(value, "apiGroups"),
            resources: strings(value, "resources"),
            namespaces: strings(value, "namespaces"),
            cluster: bool_at(value, &["clusterScope"]),
        }
    }

    fn matches(&self, asked: &Attributes<'_>) -> bool {
        let resource = match asked.subresource {
            "" => names(&self.resources, asked.resource),
            _ => names(&self.resources, &asked.combined_resource()),
        };
        resource
            && names(&self.verbs, asked.verb)
            && names(&self.groups, asked.group)
            && if asked.namespace.is_empty() { self.cluster } else { names(&self.namespaces, asked.namespace) }
    }
}

impl PathRule {
    fn matches(&self, asked: &Attributes<'_>) -> bool {
        names(&self.verbs, asked.verb) && self.paths.iter().any(|path| is_below(asked.path, path))
    }
}

/// A path is meant by itself, by those above it, and by `*`.
fn is_below(path: &str, rule: &str) -> bool {
    if rule == ALL || rule == path {
        return true;
    }
    let above = rule.strip_suffix('*').unwrap_or(rule);
    let above = above.strip_suffix('/').unwrap_or(above);
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

impl Schema {
    /// Reads a FlowSchema.
    pub fn of(name: &str, uid: &str, spec: &Value) -> Self {
        let rules = list_at(spec, &["rules"]).iter().map(|rule| Rule {
            subjects: list_at(rule, &["subjects"]).iter().filter_map(Subject::of).collect(),
            resources: list_at(rule, &["resourceRules"]).iter().map(ResourceRule::of).collect(),
            paths: list_at(rule, &["nonResourceRules"])
                .iter()
                .map(|rule| PathRule { verbs: strings(rule, "verbs"), paths: strings(rule, "nonResourceURLs") })
                .collect(),
        });
        Schema {
            name: name.into(),
            uid: uid.into(),
            level: str_at(spec, &["priorityLevelConfiguration", "name"]).into(),
            precedence: i64_at(spec, &["matchingPrecedence"]).unwrap_or(1000),
            distinguisher: match str_at(spec, &["distinguisherMethod", "type"]) {
                "ByUser" => Distinguisher::ByUser,
                "ByNamespace" => Distinguisher::ByNamespace,
                _ => Distinguisher::None,
            },
            rules: rules.collect(),
        }
    }

    /// Whether a request belongs here.
    pub fn matches(&self, user: &UserInfo, asked: &Attributes<'_>) -> bool {
        self.rules.iter().any(|rule| {
            rule.subjects.iter().any(|subject| subject.is(user))
                && if asked.is_resource() {
                    rule.resources.iter().any(|rule| rule.matches(asked))
                } else {
                    rule.paths.iter().any(|rule| rule.matches(asked))
                }
        })
    }

    /// What tells this request's flow from others of the schema.
    pub fn distinguish<'a>(&self, user: &'a UserInfo, asked: &Attributes<'a>) -> &'a str {
        match self.distinguisher {
            Distinguisher::None => "",
            Distinguisher::ByUser => &user.name,
            Distinguisher::ByNamespace => asked.namespace,
        }
    }
}

impl LevelSpec {
    /// Reads a PriorityLevelConfiguration.
    pub fn of(name: &str, uid: &str, spec: &Value) -> Self {
        let exempt = str_at(spec, &["type"]) == "Exempt";
        let part = if exempt { "exempt" } else { "limited" };
        let number = |key: &str| i64_at(spec, &[part, key]).and_then(|n| u64::try_from(n).ok());
        let queuing = |key: &str, default: u32| {
            let said = i64_at(spec, &[part, "limitResponse", "queuing", key]).and_then(|n| u32::try_from(n).ok());
            said.unwrap_or(default).max(1)
        };
        LevelSpec {
            name: name.into(),
            uid: uid.into(),
            exempt,
            shares: number("nominalConcurrencyShares").unwrap_or(if exempt { 0 } else { 30 }),
            lendable_percent: number("lendablePercent").unwrap_or(0).min(100),
            borrowing_percent: number("borrowingLimitPercent"),
            response: match str_at(spec, &[part, "limitResponse", "type"]) {
                "Queue" => Response::Queue {
                    queues: queuing("queues", 64),
                    hand: queuing("handSize", 8),
                    length: queuing("queueLengthLimit", 50),
                },
                _ => Response::Reject,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use object::json;

    use super::*;

    fn schema(rule: Value) -> Schema {
        Schema::of("s", "u", &json!({"priorityLevelConfiguration": {"name": "l"}, "rules": [rule]}))
    }

    fn asked<'a>(verb: &'a str, resource: &'a str, subresource: &'a str, namespace: &'a str) -> Attributes<'a> {
        Attributes { verb, group: "apps", resource, subresource, namespace, ..Attributes::default() }
    }

    #[test]
    fn subjects() {
        let user = UserInfo::service_account("kube-system", "job-controller");
        for (name, subject, wanted) in [
            ("the user", json!({"kind": "User", "user": {"name": "system:serviceaccount:kube-system:job-controller"}}), true),
            ("another user", json!({"kind": "User", "user": {"name": "job-controller"}}), false),
            ("every user", json!({"kind": "User", "user": {"name": "*"}}), true),
            ("a group", json!({"kind": "Group", "group": {"name": "system:serviceaccounts:kube-system"}}), true),
            ("another group", json!({"kind": "Group", "group": {"name": "system:masters"}}), false),
            ("every group", json!({"kind": "Group", "group": {"name": "*"}}), true),
            (
                "the account",
                json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "job-controller"}}),
                true,
            ),
            (
                "all of a namespace",
                json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}}),
                true,
            ),
            (
                "a namespace with that beginning",
                json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube", "name": "*"}}),
                false,
            ),
            ("nothing", json!({"kind": "Role"}), false),
        ] {
            let all = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}]);
            let schema = schema(json!({"subjects": [subject], "resourceRules": all}));
            assert_eq!(schema.matches(&user, &asked("get", "deployments", "", "default")), wanted, "{name}");
        }
    }

    #[test]
    fn resources() {
        let user = UserInfo::new("jane", &[]);
        let rule = |verbs: &[&str], groups: &[&str], resources: &[&str], namespaces: &[&str], cluster: bool| json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "namespaces": namespaces, "clusterScope": cluster});
        for (name, rule, request, wanted) in [
            ("all", rule(&["*"], &["*"], &["*"], &["*"], false), asked("list", "deployments", "", "a"), true),
            ("all but the cluster", rule(&["*"], &["*"], &["*"], &["*"], false), asked("list", "deployments", "", ""), false),
            ("the cluster", rule(&["*"], &["*"], &["*"], &[], true), asked("list", "deployments", "", ""), true),
            ("only the cluster", rule(&["*"], &["*"], &["*"], &[], true), asked("list", "deployments", "", "a"), false),
            ("a verb", rule(&["get", "list"], &["*"], &["*"], &["*"], false), asked("watch", "deployments", "", "a"), false),
            ("a group", rule(&["*"], &["batch"], &["*"], &["*"], false), asked("get", "deployments", "", "a"), false),
            (
                "a namespace",
                rule(&["*"], &["apps"], &["deployments"], &["b"], false),
                asked("get", "deployments", "", "a"),
                false,
            ),
            (
                "a subresource is another",
                rule(&["*"], &["*"], &["deployments"], &["*"], false),
                asked("get", "deployments", "scale", "a"),
                false,
            ),
            (
                "a subresource",
                rule(&["*"], &["*"], &["deployments/scale"], &["*"], false),
                asked("get", "deployments", "scale", "a"),
                true,
            ),
        ] {
            let everybody = json!([{"kind": "User", "user": {"name": "*"}}]);
            let schema = schema(json!({"subjects": everybody, "resourceRules": [rule]}));
            assert_eq!(schema.matches(&user, &request), wanted, "{name}");
            let path = Attributes { verb: "get", path: "/version", ..Attributes::default() };
            assert!(!schema.matches(&user, &path), "{name}: a path is no resource");
        }
    }

    #[test]
    fn paths() {
        for (rule, path, wanted) in [
            ("*", "/anything", true),
            ("/healthz", "/healthz", true),
            ("/healthz", "/healthz/ping", true),
            ("/healthz", "/healthzy", false),
            ("/healthz/*", "/healthz/ping", true),
            ("/healthz/*", "/healthz", false),
            ("/apis/*", "/api", false),
        ] {
            assert_eq!(is_below(path, rule), wanted, "{path} below {rule}");
        }
    }

    #[test]
    fn levels_have_defaults() {
        let level = LevelSpec::of("l", "u", &json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue"}}}));
        assert_eq!((level.shares, level.lendable_percent, level.borrowing_percent), (30, 0, None));
        assert_eq!(level.response, Response::Queue { queues: 64, hand: 8, length: 50 });
        let level = LevelSpec::of("exempt", "u", &json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 5}}));
        assert_eq!((level.exempt, level.shares, level.response), (true, 5, Response::Reject));
    }
}
