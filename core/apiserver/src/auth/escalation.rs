//! Nobody gives away more than they have: whoever writes a role holds its rules, whoever writes a binding holds the rules of
//! its role, unless they may `escalate` or `bind`.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping>

use object::order::Order as _;
use object::{ApiError, GroupResource, Result, Value};

use super::rbac::{self, GROUP, RoleRef, Rule};
use super::{Attributes, authorize};
use crate::identity::UserInfo;
use crate::server::ApiServer;
use crate::write::Target;

/// Checks a write of a role or binding; `old` is what it replaces. Everything else passes.
pub fn check(api: &ApiServer, user: &UserInfo, target: &Target, name: &str, object: &Value, old: Option<&Value>) -> Result<()> {
    if &*target.resource.gvr.group != GROUP || user.is_master() {
        return Ok(());
    }
    let request = Request { api, user, resource: target.resource.group_resource(), namespace: &target.namespace, name };
    match &*target.resource.gvr.resource {
        "roles" | "clusterroles" => request.role(object, old),
        "rolebindings" | "clusterrolebindings" => request.binding(object, old),
        _ => Ok(()),
    }
}

struct Request<'a> {
    api: &'a ApiServer,
    user: &'a UserInfo,
    resource: GroupResource,
    namespace: &'a str,
    name: &'a str,
}

impl Request<'_> {
    fn role(&self, object: &Value, old: Option<&Value>) -> Result<()> {
        let aggregated = |role: &Value| role.get("aggregationRule").cloned();
        let same = |key: &str, old: &Value| old.get(key) == object.get(key);
        if old.is_some_and(|old| same("rules", old) && same("aggregationRule", old)) {
            return Ok(());
        }
        if self.may("escalate", &self.resource, self.name) {
            return Ok(());
        }
        self.confirm(&rbac::rules_of(object))?;
        // An aggregated role may come to hold anything.
        let widened = aggregated(object).is_some() && old.is_none_or(|old| aggregated(old) != aggregated(object));
        let everything = ["*"].map(str::to_owned).to_vec();
        if widened {
            let resources = Rule {
                api_groups: everything.clone(),
                resources: everything.clone(),
                verbs: everything.clone(),
                ..Rule::default()
            };
            let urls = Rule { urls: everything.clone(), verbs: everything, ..Rule::default() };
            if self.confirm(&[resources, urls]).is_err() {
                let why = "must have cluster-admin privileges to use the aggregationRule";
                return Err(ApiError::forbidden(&self.resource, self.name, why));
            }
        }
        Ok(())
    }

    fn binding(&self, object: &Value, old: Option<&Value>) -> Result<()> {
        let same = |key: &str, old: &Value| old.get(key) == object.get(key);
        if old.is_some_and(|old| same("roleRef", old) && same("subjects", old)) {
            return Ok(());
        }
        let role = RoleRef::of(object);
        if self.may("bind", &role.resource(), &role.name) {
            return Ok(());
        }
        let Some(rules) = role.rules(&self.api.store, self.namespace) else {
            return Err(ApiError::not_found(&self.resource, &role.name));
        };
        self.confirm(rules)
    }

    fn may(&self, verb: &str, resource: &GroupResource, name: &str) -> bool {
        let wanted = Attributes {
            verb,
            group: GROUP,
            version: "*",
            resource: &resource.resource,
            namespace: self.namespace,
            name,
            ..Attributes::default()
        };
        authorize(self.api, self.user, &wanted).allowed
    }

    fn confirm(&self, rules: &[Rule]) -> Result<()> {
        let held = rbac::rules_for(self.api, self.user, self.namespace);
        let missing: Vec<Rule> =
            rules.iter().flat_map(breakdown).filter(|rule| !held.iter().any(|held| covers(held, rule))).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut lines: Vec<String> = compact(missing).iter().map(describe).collect();
        lines.order();
        lines.dedup();
        let groups: Vec<String> = self.user.groups.iter().map(|group| format!("{group:?}")).collect();
        let why = format!(
            "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
            self.user.name,
            groups.join(" "),
            lines.join("\n")
        );
        Err(ApiError::forbidden(&self.resource, self.name, &why))
    }
}

/// A rule as many rules that each allow one verb on one thing.
pub fn breakdown(rule: &Rule) -> Vec<Rule> {
    let one = |text: &String| vec![text.clone()];
    let mut out = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let single = Rule { api_groups: one(group), resources: one(resource), verbs: one(verb), ..Rule::default() };
                if rule.names.is_empty() {
                    out.push(single);
                } else {
                    out.extend(rule.names.iter().map(|name| Rule { names: one(name), ..single.clone() }));
                }
            }
        }
    }
    for url in &rule.urls {
        out.extend(rule.verbs.iter().map(|verb| Rule { urls: one(url), verbs: one(verb), ..Rule::default() }));
    }
    out
}

/// Whether a rule allows all that a broken-down rule allows.
pub fn covers(held: &Rule, single: &Rule) -> bool {
    let has = |list: &[String], text: &String| list.iter().any(|entry| entry == "*" || entry == text);
    let all = |list: &[String], wanted: &[String]| wanted.iter().all(|text| has(list, text));
    let resource = |text: &String| {
        has(&held.resources, text)
            || text.split_once('/').is_some_and(|(_, subresource)| held.resources.contains(&format!("*/{subresource}")))
    };
    let names = match single.names.as_slice() {
        [] => held.names.is_empty(),
        wanted => held.names.is_empty() || wanted.iter().all(|name| held.names.contains(name)),
    };
    all(&held.verbs, &single.verbs)
        && all(&held.api_groups, &single.api_groups)
        && single.resources.iter().all(resource)
        && names
        && single.urls.iter().all(|url| held.urls.iter().any(|rule| rbac::url_matches(rule, url)))
}

/// Joins rules that differ in their verb only.
fn compact(rules: Vec<Rule>) -> Vec<Rule> {
    let mut out: Vec<Rule> = Vec::new();
    for rule in rules {
        let joined = |there: &&mut Rule| {
            there.urls.is_empty()
                && rule.urls.is_empty()
                && (&there.api_groups, &there.resources, &there.names) == (&rule.api_groups, &rule.resources, &rule.names)
        };
        match out.iter_mut().find(joined) {
            Some(there) => there.verbs.extend(rule.verbs),
            None => out.push(rule),
        }
    }
    out
}

fn describe(rule: &Rule) -> String {
    let parts = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.urls),
        ("ResourceNames", &rule.names),
        ("Verbs", &rule.verbs),
    ];
    let shown = parts.iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| {
        let list: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
        format!("{name}:[{}]", list.join(" "))
    });
    format!("{{{}}}", shown.collect::<Vec<_>>().join(", "))
}
