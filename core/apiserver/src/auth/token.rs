//! Tokens that this server gives out and knows again: JSON Web Tokens of service accounts (RFC 7519, signed with ES256), and
//! bootstrap tokens, which stand in Secrets.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use object::value::{self, at, i64_at, list_at, str_at};
use object::{ApiError, GroupResource, GroupVersionKind, Result, Time, Value, json};
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::DecodePrivateKey as _;
use sha2::{Digest as _, Sha256};
use store::{Key, Object};

use crate::identity::{UserInfo, same_bytes};
use crate::server::ApiServer;
use crate::write::{Target, Write};

/// Kubelets ask for this many seconds; such tokens live a year, and their users are warned after the time asked for, so that
/// old clients that never read a token again keep working.
const WARN_ONLY_SECONDS: i64 = 60 * 60 + 7;
const EXTENDED_SECONDS: u64 = 365 * 24 * 60 * 60;
const DEFAULT_SECONDS: i64 = 60 * 60;

/// The longest token that is looked at.
const MOST_BYTES: usize = 16 * 1024;

/// The key that signs tokens of service accounts.
pub struct Signer {
    key: SigningKey,
    id: String,
}

impl Signer {
    /// From a PKCS#8 document; without one, the key follows from the server's seed.
    pub fn new(pkcs8: &[u8], rng: &mut object::Rng) -> Self {
        let given = SigningKey::from_pkcs8_der(pkcs8).ok();
        let key = given.unwrap_or_else(|| {
            loop {
                let bytes: Vec<u8> = (0..4).flat_map(|_| rng.next_u64().to_be_bytes()).collect();
                // All but a few numbers below 2^256 are keys.
                if let Ok(key) = SigningKey::from_slice(&bytes) {
                    break key;
                }
            }
        });
        // RFC 7638: the key's name is the digest of its public members.
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(public_members(&key).to_string()));
        Signer { key, id }
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": self.id});
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature: Signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// The claims of a token that this key signed.
    fn verify(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.').filter(|_| token.len() <= MOST_BYTES)?;
        let (header, claims) = signed.split_once('.')?;
        let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        if str_at(&part(header)?, &["alg"]) != "ES256" {
            return None;
        }
        let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        VerifyingKey::from(&self.key).verify(signed.as_bytes(), &signature).ok()?;
        part(claims)
    }

    /// The public half, as a JSON Web Key Set.
    pub fn key_set(&self) -> Value {
        let mut key = public_members(&self.key);
        for (name, text) in [("use", "sig"), ("alg", "ES256"), ("kid", &self.id)] {
            key[name] = text.into();
        }
        json!({"keys": [key]})
    }
}

fn public_members(key: &SigningKey) -> Value {
    let point = key.verifying_key().to_encoded_point(false);
    let coordinate = |bytes: Option<&p256::FieldBytes>| bytes.map(|b| URL_SAFE_NO_PAD.encode(b)).unwrap_or_default();
    json!({"crv": "P-256", "kty": "EC", "x": coordinate(point.x()), "y": coordinate(point.y())})
}

/// What `/.well-known/openid-configuration` says.
pub fn discovery(api: &ApiServer) -> Value {
    let settings = &api.settings;
    json!({
        "issuer": settings.service_account_issuer,
        "jwks_uri": format!("https://{}:{}/openid/v1/jwks", settings.advertise_address, settings.advertise_port),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

/// Answers a TokenRequest for a service account.
pub fn request(api: &mut ApiServer, write: &Write<'_>, mut body: Value) -> Result<Value> {
    let target = write.target;
    let kind = GroupVersionKind::new("authentication.k8s.io", "v1", "TokenRequest");
    let account = Target::new(target.resource.clone(), &target.namespace, &target.name, "");
    let account = api.stored(&account)?;
    for (key, said) in [("name", str_at(&body, &["metadata", "name"])), ("namespace", str_at(&body, &["metadata", "namespace"]))]
    {
        let wanted = if key == "name" { &target.name } else { &target.namespace };
        if !said.is_empty() && said != wanted {
            return Err(ApiError::bad_request(format!(
                "the {key} of the provided object does not match the {key} sent on the request"
            )));
        }
    }
    convert_label(&mut body, &kind);
    let seconds = at(&body, &["spec", "expirationSeconds"]).and_then(Value::as_i64).unwrap_or(DEFAULT_SECONDS);
    value::set(&mut body, &["spec", "expirationSeconds"], seconds);
    let causes = schema::validate::action(&kind.group, &kind.kind, &body);
    if !causes.is_empty() {
        return Err(ApiError::invalid(&kind, "", causes));
    }
    if let Some(ty) = api.registry.kind_type(&kind) {
        let manager = &write.options.field_manager;
        let writer = schema::apply::Writer { manager, subresource: "token", kind: &kind, ty, reset: &[], now: write.now };
        schema::apply::update(None, &mut body, &writer);
    }
    if list_at(&body, &["spec", "audiences"]).is_empty() {
        value::set(&mut body, &["spec", "audiences"], json!([api.settings.service_account_issuer]));
    }
    let bound = bound_object(api, &account, &body)?;
    let pod_bound = bound.as_ref().is_some_and(|(kind, _)| *kind == "pod");
    let extended = seconds == WARN_ONLY_SECONDS && pod_bound;
    let lifetime = if extended { EXTENDED_SECONDS } else { u64::try_from(seconds).unwrap_or_default() };
    let until = write.now.plus_secs(u64::try_from(seconds).unwrap_or_default());
    let claims = claims(api, write.now, &account, &body, bound, (lifetime, extended.then_some(until)));
    value::set(&mut body, &["status"], json!({"token": api.signer.sign(&claims), "expirationTimestamp": until.rfc3339()}));
    value::object_at(&mut body, &["spec"]).entry("boundObjectRef").or_insert(Value::Null);
    let metadata = value::object_at(&mut body, &["metadata"]);
    metadata.insert("name".to_owned(), target.name.as_str().into());
    metadata.insert("namespace".to_owned(), target.namespace.as_str().into());
    metadata.insert("creationTimestamp".to_owned(), write.now.rfc3339().into());
    metadata.insert("uid".to_owned(), api.rng.uuid().into());
    Ok(body)
}

fn convert_label(body: &mut Value, kind: &GroupVersionKind) {
    value::set(body, &["apiVersion"], kind.group_version().to_string());
    value::set(body, &["kind"], &*kind.kind);
}

/// The object that the token's life is bound to, by the claim's name, and the node of a pod with it.
fn bound_object(api: &ApiServer, account: &Object, body: &Value) -> Result<Option<(&'static str, Value)>> {
    let Some(reference) = at(body, &["spec", "boundObjectRef"]).filter(|r| !r.is_null()) else { return Ok(None) };
    let (claim, resource, namespace) = match (str_at(reference, &["apiVersion"]), str_at(reference, &["kind"])) {
        ("v1", "Pod") => ("pod", "pods", &*account.key.namespace),
        ("v1", "Secret") => ("secret", "secrets", &*account.key.namespace),
        ("v1", "Node") => ("node", "nodes", ""),
        (version, kind) => {
            let version = object::GroupVersion::parse(version).unwrap_or_default();
            let shown = format!("{version}, Kind={kind}");
            return Err(ApiError::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to object of type {shown}",
                account.key.name
            )));
        }
    };
    let name = str_at(reference, &["name"]);
    let resource = GroupResource::new("", resource);
    let there = api.store.get(&Key::new(&resource, namespace, name)).ok_or_else(|| ApiError::not_found(&resource, name))?;
    let uid = str_at(reference, &["uid"]);
    if !uid.is_empty() && uid != there.meta.uid {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(ApiError::conflict(&resource, name, &why));
    }
    if claim == "pod" && str_at(&there.value(), &["spec", "serviceAccountName"]) != &*account.key.name {
        let of = str_at(&there.value(), &["spec", "serviceAccountName"]).to_owned();
        return Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name. ({of})",
            account.key.name
        )));
    }
    Ok(Some((claim, json!({"name": name, "uid": there.meta.uid}))))
}

fn claims(
    api: &mut ApiServer,
    now: Time,
    account: &Object,
    body: &Value,
    bound: Option<(&'static str, Value)>,
    (lifetime, warn_after): (u64, Option<Time>),
) -> Value {
    let mut private = json!({
        "namespace": &*account.key.namespace,
        "serviceaccount": {"name": &*account.key.name, "uid": account.meta.uid},
    });
    if let Some((claim, reference)) = bound {
        let pod = Key::new(&GroupResource::literal("", "pods"), &account.key.namespace, str_at(&reference, &["name"]));
        let node = api.store.get(&pod).filter(|_| claim == "pod").map(|pod| pod.value());
        let node = node.as_ref().map(|pod| str_at(pod, &["spec", "nodeName"])).filter(|name| !name.is_empty());
        if let Some(name) = node {
            let there = api.store.get(&Key::new(&GroupResource::literal("", "nodes"), "", name));
            private["node"] = json!({"name": name});
            if let Some(there) = there {
                private["node"]["uid"] = there.meta.uid.as_str().into();
            }
        }
        private[claim] = reference;
    }
    if let Some(time) = warn_after {
        private["warnafter"] = time.secs().into();
    }
    json!({
        "aud": list_at(body, &["spec", "audiences"]),
        "exp": now.secs() + lifetime, "iat": now.secs(), "nbf": now.secs(),
        "iss": api.settings.service_account_issuer,
        "jti": api.rng.uuid(),
        "kubernetes.io": private,
        "sub": UserInfo::service_account(&account.key.namespace, &account.key.name).name,
    })
}

/// Who gives out tokens that Secrets hold.
const SECRET_ISSUER: &str = "kubernetes/serviceaccount";

/// A token that a Secret holds: it has no end of its own, and is good for as long as the Secret holds it.
pub fn for_secret(api: &ApiServer, account: &Object, secret: &str) -> String {
    let namespace = &*account.key.namespace;
    api.signer.sign(&json!({
        "iss": SECRET_ISSUER,
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": secret,
        "kubernetes.io/serviceaccount/service-account.name": &*account.key.name,
        "kubernetes.io/serviceaccount/service-account.uid": account.meta.uid,
        "sub": UserInfo::service_account(namespace, &account.key.name).name,
    }))
}

/// Whose token this is, if its Secret still holds it.
fn held_by_secret(api: &ApiServer, token: &str, claims: &Value) -> Option<UserInfo> {
    let claim = |key: &str| str_at(claims, &[&format!("kubernetes.io/serviceaccount/{key}")]).to_owned();
    let (namespace, account) = (claim("namespace"), claim("service-account.name"));
    let there = |resource: &str, name: &str| {
        let found = api.store.get(&Key::new(&GroupResource::new("", resource), &namespace, name))?;
        found.meta.deletion_timestamp.is_none().then_some(found)
    };
    let secret = there("secrets", &claim("secret.name"))?.value();
    let held = String::from_utf8(STANDARD.decode(str_at(&secret, &["data", "token"])).ok()?).ok()?;
    let uid = &there("serviceaccounts", &account)?.meta.uid;
    let mut user = UserInfo::service_account(&namespace, &account);
    if str_at(claims, &["sub"]) != user.name || *uid != claim("service-account.uid") || !same_bytes(&held, token) {
        return None;
    }
    user.uid.clone_from(uid);
    Some(user)
}

/// Whose token this is, and which of the audiences it is for. Tokens end with their time, and with what they are bound to.
pub fn authenticate(api: &ApiServer, token: &str, audiences: &[String]) -> Option<(UserInfo, Vec<String>)> {
    let claims = api.signer.verify(token)?;
    if str_at(&claims, &["iss"]) == SECRET_ISSUER {
        // Such a token names no audience, and is for the API itself.
        let own = &api.settings.service_account_issuer;
        let audiences: Vec<String> = audiences.iter().filter(|a| *a == own).cloned().collect();
        return held_by_secret(api, token, &claims).filter(|_| !audiences.is_empty()).map(|user| (user, audiences));
    }
    let now = i64::try_from(api.now.secs()).ok()?;
    if str_at(&claims, &["iss"]) != api.settings.service_account_issuer
        || i64_at(&claims, &["exp"])? < now
        || i64_at(&claims, &["nbf"])? > now + 60
    {
        return None;
    }
    let said = list_at(&claims, &["aud"]);
    let audiences: Vec<String> = audiences.iter().filter(|a| said.iter().any(|s| s == a.as_str())).cloned().collect();
    if audiences.is_empty() {
        return None;
    }
    let private = claims.get("kubernetes.io")?;
    let namespace = str_at(private, &["namespace"]);
    for (claim, resource, namespace) in
        [("serviceaccount", "serviceaccounts", namespace), ("pod", "pods", namespace), ("secret", "secrets", namespace)]
    {
        let Some(reference) = private.get(claim) else { continue };
        let there = api.store.get(&Key::new(&GroupResource::new("", resource), namespace, str_at(reference, &["name"])))?;
        let ended = there.meta.deletion_timestamp.is_some_and(|time| time.plus_secs(60).secs() < api.now.secs());
        if there.meta.uid != str_at(reference, &["uid"]) || ended {
            return None;
        }
    }
    let mut user = UserInfo::service_account(namespace, str_at(private, &["serviceaccount", "name"]));
    user.uid = str_at(private, &["serviceaccount", "uid"]).to_owned();
    let mut extra = |key: &str, text: String| {
        if !text.is_empty() {
            user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![text]);
        }
    };
    extra("credential-id", format!("JTI={}", str_at(&claims, &["jti"])));
    for (claim, key) in [("pod", "pod"), ("node", "node")] {
        extra(&format!("{key}-name"), str_at(private, &[claim, "name"]).to_owned());
        extra(&format!("{key}-uid"), str_at(private, &[claim, "uid"]).to_owned());
    }
    Some((user, audiences))
}

/// Whose bootstrap token this is: `id.secret`, as a Secret in kube-system describes it.
///
/// <https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/>
pub fn bootstrap(api: &ApiServer, token: &str) -> Option<UserInfo> {
    let (id, secret) = token.split_once('.').filter(|(id, secret)| id.len() == 6 && secret.len() == 16)?;
    let stored =
        api.store.get(&Key::new(&GroupResource::literal("", "secrets"), "kube-system", &format!("bootstrap-token-{id}")))?;
    let stored = stored.value();
    let data = |key: &str| {
        let bytes = STANDARD.decode(str_at(&stored, &["data", key])).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    };
    let expired = match data("expiration").as_str() {
        "" => false,
        text => Time::parse(text).is_none_or(|time| time < api.now),
    };
    let usable = str_at(&stored, &["type"]) == "bootstrap.kubernetes.io/token"
        && at(&stored, &["metadata", "deletionTimestamp"]).is_none()
        && data("token-id") == id
        && data("usage-bootstrap-authentication") == "true"
        && !expired
        && same_bytes(&data("token-secret"), secret);
    let extra_groups = data("auth-extra-groups");
    let groups: Vec<&str> = std::iter::once("system:bootstrappers")
        .chain(extra_groups.split(',').filter(|group| group.starts_with("system:bootstrappers:")))
        .collect();
    usable.then(|| UserInfo::new(&format!("system:bootstrap:{id}"), &groups))
}
