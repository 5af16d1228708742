//! Who asks: client certificates, bearer tokens, impersonation.

use std::collections::BTreeMap;

use object::{ApiError, GroupResource, Result};

use crate::message::{Request, StaticToken};

/// The user behind a request, as Kubernetes describes one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// User name.
    pub name: String,
    /// Unique identity; may be empty.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Further facts.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// A user with these groups, authenticated.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(|g| (*g).to_owned()).collect();
        groups.push("system:authenticated".to_owned());
        UserInfo { name: name.to_owned(), groups, ..UserInfo::default() }
    }

    /// A service account.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        let namespace_group = format!("system:serviceaccounts:{namespace}");
        UserInfo::new(&format!("system:serviceaccount:{namespace}:{name}"), &["system:serviceaccounts", &namespace_group])
    }

    /// A kubelet.
    pub fn node(name: &str) -> Self {
        UserInfo::new(&format!("system:node:{name}"), &["system:nodes"])
    }

    /// The API server itself, for the objects it makes at its start.
    pub fn apiserver() -> Self {
        UserInfo::new("system:apiserver", &["system:masters"])
    }

    /// Whether the user may do everything.
    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|g| g == "system:masters")
    }

    /// Whether nobody was authenticated.
    pub fn is_anonymous(&self) -> bool {
        self.name == "system:anonymous"
    }

    /// Who asks without saying who.
    fn anonymous() -> Self {
        UserInfo { name: "system:anonymous".to_owned(), groups: vec!["system:unauthenticated".to_owned()], ..UserInfo::default() }
    }
}

/// Finds out who sent this request. A credential that is wrong is 401; none at all is the anonymous user.
pub fn authenticate(request: &Request, tokens: &[StaticToken]) -> Result<UserInfo> {
    let user = if let Some(certificate) = &request.certificate {
        let groups: Vec<&str> = certificate.organizations.iter().map(String::as_str).collect();
        UserInfo::new(&certificate.common_name, &groups)
    } else if let Some(header) = header(request, "authorization") {
        let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
        let known = tokens.iter().find(|t| scheme.eq_ignore_ascii_case("bearer") && same_bytes(&t.token, token.trim()));
        let known = known.ok_or_else(ApiError::unauthorized)?;
        let groups: Vec<&str> = known.groups.iter().map(String::as_str).collect();
        UserInfo::new(&known.user, &groups)
    } else {
        UserInfo::anonymous()
    };
    impersonate(request, user)
}

/// `Impersonate-User` and its companions; for those who may do everything, until authorization is finer.
fn impersonate(request: &Request, user: UserInfo) -> Result<UserInfo> {
    let Some(name) = header(request, "impersonate-user") else { return Ok(user) };
    if !user.is_master() {
        let why = format!("User {:?} cannot impersonate resource \"users\" in API group \"\" at the cluster scope", user.name);
        return Err(ApiError::forbidden(&GroupResource::new("", "users"), name, &why));
    }
    let mut groups: Vec<&str> =
        request.headers.iter().filter(|(k, _)| k == "impersonate-group").map(|(_, v)| v.as_str()).collect();
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    let account_groups =
        account.map(|(namespace, _)| ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
    if let (Some(more), true) = (&account_groups, groups.is_empty()) {
        groups.extend(more.iter().map(String::as_str));
    }
    let mut user = if name == "system:anonymous" { UserInfo::anonymous() } else { UserInfo::new(name, &groups) };
    user.uid = header(request, "impersonate-uid").unwrap_or_default().to_owned();
    for (key, value) in &request.headers {
        if let Some(key) = key.strip_prefix("impersonate-extra-") {
            user.extra.entry(key.to_owned()).or_default().push(value.clone());
        }
    }
    Ok(user)
}

/// The first header of this (lower-case) name.
pub fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Compares without telling by its duration where the first difference is.
fn same_bytes(a: &str, b: &str) -> bool {
    a.len() == b.len() && !a.is_empty() && a.bytes().zip(b.bytes()).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks() {
        let tokens = [StaticToken { token: "secret".into(), user: "admin".into(), groups: vec!["system:masters".into()] }];
        let ask = |headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            authenticate(&Request { headers, ..Request::default() }, &tokens)
        };
        assert_eq!(ask(&[]).unwrap().name, "system:anonymous");
        assert_eq!(ask(&[("authorization", "Bearer secret")]).unwrap().groups, ["system:masters", "system:authenticated"]);
        assert_eq!(ask(&[("authorization", "Bearer wrong")]).unwrap_err().code, 401);
        assert_eq!(ask(&[("impersonate-user", "jane")]).unwrap_err().code, 403);
        let jane =
            ask(&[("authorization", "Bearer secret"), ("impersonate-user", "jane"), ("impersonate-group", "devs")]).unwrap();
        assert_eq!((jane.name.as_str(), jane.groups), ("jane", vec!["devs".to_owned(), "system:authenticated".to_owned()]));
        let account =
            ask(&[("authorization", "Bearer secret"), ("impersonate-user", "system:serviceaccount:ns:default")]).unwrap();
        assert!(account.groups.contains(&"system:serviceaccounts:ns".to_owned()));
    }
}
