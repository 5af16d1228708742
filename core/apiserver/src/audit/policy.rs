//! `audit.k8s.io/v1` Policy: which requests are recorded, and how much of them.
//!
//! <https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>

use object::Value;
use serde::Deserialize;

use crate::auth::Attributes;
use crate::identity::UserInfo;

/// How much is recorded; in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    /// Nothing.
    #[default]
    None,
    /// Who, what and when.
    Metadata,
    /// Also what was sent.
    Request,
    /// Also what was answered.
    RequestResponse,
}

impl Level {
    /// As events name it.
    pub fn name(self) -> &'static str {
        match self {
            Level::None => "None",
            Level::Metadata => "Metadata",
            Level::Request => "Request",
            Level::RequestResponse => "RequestResponse",
        }
    }
}

/// When an event is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Stage {
    /// Before anything is done.
    RequestReceived,
    /// The head of a long answer has left.
    ResponseStarted,
    /// Nothing more is sent.
    ResponseComplete,
    /// A handler failed; there are none that could here.
    Panic,
}

impl Stage {
    /// As events name it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::RequestReceived => "RequestReceived",
            Stage::ResponseStarted => "ResponseStarted",
            Stage::ResponseComplete => "ResponseComplete",
            Stage::Panic => "Panic",
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Document {
    kind: String,
    api_version: String,
    metadata: Option<Value>,
    rules: Vec<Rule>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Rule {
    level: Option<Level>,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

/// What a policy says of one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// How much is recorded.
    pub level: Level,
    /// Stages of which nothing is recorded.
    pub omit_stages: Vec<Stage>,
    /// Whether `managedFields` are left out of objects.
    pub omit_managed_fields: bool,
}

/// A policy that was checked.
#[derive(Clone, Debug)]
pub struct Policy(Document);

impl Policy {
    /// Reads a policy, or says why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        // By way of a plain value: a second reader of YAML, made for these types, would cost the page 100 KB.
        let value: Value = serde_saphyr::from_str(text).map_err(|error| format!("failed decoding: {error}"))?;
        let document = Document::deserialize(&value).map_err(|error| format!("failed decoding: {error}"))?;
        if document.kind != "Policy" || document.api_version != "audit.k8s.io/v1" {
            let (kind, version) = (&document.kind, &document.api_version);
            return Err(format!("no kind {kind:?} is registered for version {version:?}"));
        }
        if document.rules.is_empty() {
            return Err("loaded illegal policy with 0 rules".to_owned());
        }
        for (at, rule) in document.rules.iter().enumerate() {
            rule.check().map_err(|(field, why)| format!("rules[{at}].{field}: {why}"))?;
        }
        Ok(Policy(document))
    }

    /// The first rule that fits decides; without one nothing is recorded.
    pub fn verdict(&self, user: &UserInfo, attributes: &Attributes<'_>) -> Verdict {
        let Some(rule) = self.0.rules.iter().find(|rule| rule.matches(user, attributes)) else { return Verdict::default() };
        Verdict {
            level: rule.level.unwrap_or_default(),
            omit_stages: [&self.0.omit_stages[..], &rule.omit_stages].concat(),
            omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.0.omit_managed_fields),
        }
    }
}

impl Rule {
    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.level.is_none() {
            return Err(("level", "Required value".to_owned()));
        }
        let names_resources = !self.resources.is_empty() || !self.namespaces.is_empty();
        if names_resources && !self.non_resource_urls.is_empty() {
            return Err((
                "nonResourceURLs",
                "Invalid value: rules cannot apply to both regular resources and non-resource URLs".to_owned(),
            ));
        }
        for url in self.non_resource_urls.iter().filter(|url| *url != "*") {
            let inner = url.strip_suffix('*').unwrap_or(url);
            if !url.starts_with('/') {
                return Err((
                    "nonResourceURLs",
                    format!("Invalid value: {url:?}: non-resource URL rules must begin with a '/' character"),
                ));
            }
            if inner.contains('*') {
                return Err((
                    "nonResourceURLs",
                    format!("Invalid value: {url:?}: non-resource URL wildcards '*' must be the final character of the rule"),
                ));
            }
        }
        for group in &self.resources {
            // `v1` is a version, and a mistake that is often made.
            if group.group == "v1" {
                return Err(("resources.group", format!("Invalid value: {:?}: must be a group, not a version", group.group)));
            }
            if !group.resource_names.is_empty() && group.resources.is_empty() {
                return Err((
                    "resources.resourceNames",
                    "Invalid value: using resourceNames requires at least one resource".to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn matches(&self, user: &UserInfo, attributes: &Attributes<'_>) -> bool {
        let has = |list: &[String], value: &str| list.iter().any(|one| one == value);
        if !self.users.is_empty() && !has(&self.users, &user.name) {
            return false;
        }
        if !self.user_groups.is_empty() && !user.groups.iter().any(|group| has(&self.user_groups, group)) {
            return false;
        }
        if !self.verbs.is_empty() && !has(&self.verbs, attributes.verb) {
            return false;
        }
        let about_resources = attributes.path.is_empty();
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return about_resources
                && (self.namespaces.is_empty() || has(&self.namespaces, attributes.namespace))
                && (self.resources.is_empty() || self.resources.iter().any(|group| group.matches(attributes)));
        }
        if self.non_resource_urls.is_empty() {
            return true;
        }
        let fits = |url: &String| match url.strip_suffix('*') {
            Some(start) => attributes.path.starts_with(start),
            None => attributes.path == url,
        };
        !about_resources && self.non_resource_urls.iter().any(fits)
    }
}

impl GroupResources {
    fn matches(&self, attributes: &Attributes<'_>) -> bool {
        if self.group != attributes.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.resource_names.is_empty() && !self.resource_names.iter().any(|name| name == attributes.name) {
            return false;
        }
        self.resources.iter().any(|pattern| match pattern.split_once('/') {
            None => pattern == "*" || (attributes.subresource.is_empty() && pattern == attributes.resource),
            // `pods/*` is pods and all below, as kube-apiserver has it.
            Some((resource, "*")) => resource == attributes.resource,
            Some(("*", subresource)) => !attributes.subresource.is_empty() && subresource == attributes.subresource,
            Some((resource, subresource)) => resource == attributes.resource && subresource == attributes.subresource,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(rule: &str, attributes: &Attributes<'_>) -> bool {
        let policy = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {rule}\n");
        let policy = Policy::parse(&policy).unwrap_or_else(|why| panic!("{rule}: {why}"));
        let user = UserInfo::new("jane", &["devs"]);
        policy.verdict(&user, attributes).level == Level::Metadata
    }

    #[test]
    fn rules_match_as_in_kubernetes() {
        let pod = Attributes { verb: "get", version: "v1", resource: "pods", namespace: "a", name: "p", ..Attributes::default() };
        let log = Attributes { subresource: "log", ..pod.clone() };
        let node = Attributes { verb: "list", version: "v1", resource: "nodes", ..Attributes::default() };
        let path = Attributes { verb: "get", path: "/healthz/ping", ..Attributes::default() };
        for (rule, pod_too, log_too, node_too, path_too) in [
            ("level: Metadata", true, true, true, true),
            ("{level: Metadata, users: [jane]}", true, true, true, true),
            ("{level: Metadata, users: [joe]}", false, false, false, false),
            ("{level: Metadata, userGroups: [devs, x]}", true, true, true, true),
            ("{level: Metadata, verbs: [list]}", false, false, true, false),
            ("{level: Metadata, namespaces: [a]}", true, true, false, false),
            ("{level: Metadata, namespaces: ['']}", false, false, true, false),
            ("{level: Metadata, resources: [{group: ''}]}", true, true, true, false),
            ("{level: Metadata, resources: [{group: apps}]}", false, false, false, false),
            ("{level: Metadata, resources: [{resources: [pods]}]}", true, false, false, false),
            ("{level: Metadata, resources: [{resources: [pods/log]}]}", false, true, false, false),
            ("{level: Metadata, resources: [{resources: ['pods/*']}]}", true, true, false, false),
            ("{level: Metadata, resources: [{resources: ['*/log']}]}", false, true, false, false),
            ("{level: Metadata, resources: [{resources: ['*']}]}", true, true, true, false),
            ("{level: Metadata, resources: [{resources: [pods], resourceNames: [q]}]}", false, false, false, false),
            ("{level: Metadata, nonResourceURLs: ['/healthz*']}", false, false, false, true),
            ("{level: Metadata, nonResourceURLs: ['/healthz']}", false, false, false, false),
            ("{level: Metadata, nonResourceURLs: ['*']}", false, false, false, true),
        ] {
            let found = [&pod, &log, &node, &path].map(|attributes| level(rule, attributes));
            assert_eq!(found, [pod_too, log_too, node_too, path_too], "{rule}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (rules, part) in [
            ("rules: []", "0 rules"),
            ("rules: [{users: [x]}]", "level: Required value"),
            ("rules: [{level: Everything}]", "failed decoding"),
            ("rules: [{level: None, nope: 1}]", "failed decoding"),
            ("rules: [{level: None, nonResourceURLs: ['/a'], namespaces: [b]}]", "cannot apply to both"),
            ("rules: [{level: None, nonResourceURLs: ['a']}]", "begin with a '/'"),
            ("rules: [{level: None, nonResourceURLs: ['/a*b']}]", "final character"),
            ("rules: [{level: None, resources: [{resourceNames: [a]}]}]", "at least one resource"),
        ] {
            let why = Policy::parse(&format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}")).err().unwrap_or_default();
            assert!(why.contains(part), "{rules}: {why}");
        }
        assert!(Policy::parse("apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]").is_err());
    }
}
