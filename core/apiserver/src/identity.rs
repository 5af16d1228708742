//! Who asks: client certificates, bearer tokens, impersonation.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/>

use std::collections::BTreeMap;

use object::{ApiError, Result};

use crate::auth::{self, Attributes, token};
use crate::message::Request;
use crate::server::ApiServer;

const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const ANONYMOUS: &str = "system:anonymous";

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
        groups.push(AUTHENTICATED.to_owned());
        UserInfo { name: name.to_owned(), groups, ..UserInfo::default() }
    }

    /// A service account.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        let groups = service_account_groups(namespace);
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        UserInfo::new(&format!("{SERVICE_ACCOUNT}{namespace}:{name}"), &groups)
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

    /// Who asks without saying who.
    fn anonymous() -> Self {
        UserInfo { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..UserInfo::default() }
    }
}

/// What stands before namespace and name in a service account's user name.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

fn service_account_groups(namespace: &str) -> [String; 2] {
    ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}

/// Finds out who sent this request, or whom the sender is taken for.
pub fn authenticate(api: &ApiServer, request: &Request) -> Result<UserInfo> {
    let user = credential(api, request)?;
    impersonate(api, request, user)
}

/// Finds out who sent this request. A credential that is wrong is 401; none at all is the anonymous user.
pub fn credential(api: &ApiServer, request: &Request) -> Result<UserInfo> {
    Ok(if let Some(certificate) = &request.certificate {
        let groups: Vec<&str> = certificate.organizations.iter().map(String::as_str).collect();
        UserInfo::new(&certificate.common_name, &groups)
    } else if let Some(token) = bearer_token(request) {
        bearer(api, token).ok_or_else(ApiError::unauthorized)?
    } else {
        UserInfo::anonymous()
    })
}

/// The token of an `Authorization: Bearer` header. Other schemes are nobody's.
fn bearer_token(request: &Request) -> Option<&str> {
    let (scheme, token) = header(request, "authorization")?.trim().split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// Whose token this is: a configured one, a service account's or a bootstrap token.
pub fn bearer(api: &ApiServer, token: &str) -> Option<UserInfo> {
    let known = api.settings.tokens.iter().find(|known| same_bytes(&known.token, token));
    if let Some(known) = known {
        let groups: Vec<&str> = known.groups.iter().map(String::as_str).collect();
        return Some(UserInfo { uid: known.uid.clone(), ..UserInfo::new(&known.user, &groups) });
    }
    let audiences = [api.settings.service_account_issuer.clone()];
    match token::authenticate(api, token, &audiences) {
        Some((user, _)) => Some(user),
        None => token::bootstrap(api, token),
    }
}

/// One thing that a request wants to be taken for.
struct Impersonated {
    kind: &'static str,
    group: &'static str,
    resource: &'static str,
    namespace: String,
    name: String,
    field: String,
}

impl Impersonated {
    fn new(kind: &'static str, group: &'static str, resource: &'static str, name: &str) -> Self {
        Impersonated { kind, group, resource, namespace: String::new(), name: name.to_owned(), field: String::new() }
    }

    /// As Kubernetes prints it: kind, namespace, name, uid, apiVersion, resourceVersion and field path.
    fn shown(&self) -> String {
        let version = if self.kind == "UID" { "authentication.k8s.io/v1" } else { "" };
        format!("{{{} {} {}  {version}  {}}}", self.kind, self.namespace, self.name, self.field)
    }
}

/// `Impersonate-User` and its companions, for those who may impersonate just these.
pub fn impersonate(api: &ApiServer, request: &Request, user: UserInfo) -> Result<UserInfo> {
    let wanted = impersonated(request);
    if wanted.is_empty() {
        return Ok(user);
    }
    if !wanted.iter().any(|w| matches!(w.kind, "User" | "ServiceAccount")) {
        let shown: Vec<String> = wanted.iter().map(Impersonated::shown).collect();
        return Err(ApiError::bad_request(format!("requested [{}] without impersonating a user", shown.join(" "))));
    }
    for one in &wanted {
        let attributes = Attributes {
            verb: "impersonate",
            group: one.group,
            version: "v1",
            resource: one.resource,
            subresource: &one.field,
            namespace: &one.namespace,
            name: &one.name,
            path: "",
            fields: &[],
        };
        auth::check(api, &user, &attributes)?;
    }
    Ok(become_user(&wanted))
}

fn impersonated(request: &Request) -> Vec<Impersonated> {
    const AUTHENTICATION: &str = "authentication.k8s.io";
    let mut wanted = Vec::new();
    if let Some(name) = header(request, "impersonate-user").filter(|name| !name.is_empty()) {
        match name.strip_prefix(SERVICE_ACCOUNT).and_then(|rest| rest.split_once(':')) {
            Some((namespace, account)) => wanted.push(Impersonated {
                namespace: namespace.to_owned(),
                ..Impersonated::new("ServiceAccount", "", "serviceaccounts", account)
            }),
            None => wanted.push(Impersonated::new("User", "", "users", name)),
        }
    }
    for (key, value) in &request.headers {
        match key.as_str() {
            "impersonate-group" => wanted.push(Impersonated::new("Group", "", "groups", value)),
            "impersonate-uid" if !value.is_empty() => {
                wanted.push(Impersonated::new("UID", AUTHENTICATION, "uids", value));
            }
            _ => {
                let Some(field) = key.strip_prefix("impersonate-extra-") else { continue };
                let field = crate::edge::query::decode(field);
                wanted.push(Impersonated { field, ..Impersonated::new("UserExtra", AUTHENTICATION, "userextras", value) });
            }
        }
    }
    wanted
}

fn become_user(wanted: &[Impersonated]) -> UserInfo {
    let mut user = UserInfo::default();
    let mut account_groups = Vec::new();
    for one in wanted {
        match one.kind {
            "ServiceAccount" => {
                user.name = format!("{SERVICE_ACCOUNT}{}:{}", one.namespace, one.name);
                account_groups.extend(service_account_groups(&one.namespace));
            }
            "User" => user.name.clone_from(&one.name),
            "Group" => user.groups.push(one.name.clone()),
            "UID" => user.uid.clone_from(&one.name),
            _ => user.extra.entry(one.field.clone()).or_default().push(one.name.clone()),
        }
    }
    // A service account has its own groups where no others are asked for.
    if user.groups.is_empty() {
        user.groups = account_groups;
    }
    let said = |group: &str| user.groups.iter().any(|g| g == group);
    if user.name == ANONYMOUS {
        if !said(UNAUTHENTICATED) {
            user.groups.push(UNAUTHENTICATED.to_owned());
        }
    } else if !said(AUTHENTICATED) && !said(UNAUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

/// The first header of this (lower-case) name.
pub fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Compares without telling by its duration where the first difference is.
pub fn same_bytes(a: &str, b: &str) -> bool {
    a.len() == b.len() && !a.is_empty() && a.bytes().zip(b.bytes()).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::StaticToken;
    use crate::server::Settings;

    #[test]
    fn who_asks() {
        let tokens = vec![
            StaticToken {
                token: "secret".into(),
                user: "admin".into(),
                groups: vec!["system:masters".into()],
                ..StaticToken::default()
            },
            StaticToken { token: "other".into(), user: "joe".into(), groups: Vec::new(), ..StaticToken::default() },
        ];
        let api = ApiServer::new(Settings { tokens, ..Settings::default() });
        let ask = |headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            authenticate(&api, &Request { headers, ..Request::default() })
        };
        assert_eq!(ask(&[]).unwrap().name, ANONYMOUS);
        assert_eq!(ask(&[("authorization", "Basic abc")]).unwrap().name, ANONYMOUS, "no scheme of ours");
        assert_eq!(ask(&[("authorization", "Bearer secret")]).unwrap().groups, ["system:masters", AUTHENTICATED]);
        assert_eq!(ask(&[("authorization", "Bearer wrong")]).unwrap_err().code, 401);
        let refused = ask(&[("authorization", "Bearer other"), ("impersonate-user", "jane")]).unwrap_err();
        let why = "users \"jane\" is forbidden: User \"joe\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope";
        assert_eq!((refused.code, refused.message.as_str()), (403, why));
        let group_alone = ask(&[("authorization", "Bearer secret"), ("impersonate-group", "x")]).unwrap_err();
        assert_eq!(group_alone.message, "requested [{Group  x    }] without impersonating a user");
        let jane =
            ask(&[("authorization", "Bearer secret"), ("impersonate-user", "jane"), ("impersonate-group", "devs")]).unwrap();
        assert_eq!((jane.name.as_str(), jane.groups), ("jane", vec!["devs".to_owned(), AUTHENTICATED.to_owned()]));
        let account =
            ask(&[("authorization", "Bearer secret"), ("impersonate-user", "system:serviceaccount:ns:default")]).unwrap();
        assert_eq!(account.groups, ["system:serviceaccounts", "system:serviceaccounts:ns", AUTHENTICATED]);
    }
}
