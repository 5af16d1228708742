//! Built-in admission: Kubernetes' plugins in Kubernetes' order, in two phases. Mutating plugins fill in what the cluster knows
//! better than an object's author, before defaults and validation; validating plugins judge what is about to be stored.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/>

mod certificates;
mod limit_ranger;
mod matching;
mod namespace;
mod node_restriction;
mod pod;
mod pod_security;
pub(crate) mod policy;
pub mod quota;
pub(crate) mod reinvocation;
mod request;
mod runtime_class;
mod service_account;
mod storage;
pub(crate) mod webhook;

use object::{Result, Value};

pub use pod_security::PodSecurityConfiguration;

use crate::identity::UserInfo;
use crate::server::ApiServer;
use crate::write::{DeleteOptions, Target, Write, WriteOptions};

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is deleted; there is no new object.
    Delete,
    /// A stream to it is opened.
    Connect,
}

/// One request as plugins see it.
pub struct Attributes<'a> {
    /// What is done.
    pub operation: Operation,
    /// To what.
    pub target: &'a Target,
    /// The object's name, once it has one.
    pub name: &'a str,
    /// By whom.
    pub user: &'a UserInfo,
    /// What it was before; `None` for a create.
    pub old: Option<&'a Value>,
    /// How.
    pub options: Options<'a>,
}

/// The options of a request.
#[derive(Clone, Copy, Debug)]
pub enum Options<'a> {
    /// Of a create or an update.
    Write(&'a WriteOptions),
    /// Of a deletion.
    Delete(&'a DeleteOptions),
}

impl Attributes<'_> {
    /// Whether this is about this resource of the core group, or another group, itself and not a subresource of it.
    fn is(&self, group: &str, resource: &str) -> bool {
        self.target.subresource.is_empty() && self.is_part_of(group, resource)
    }

    /// Whether this is about this resource or a subresource of it.
    fn is_part_of(&self, group: &str, resource: &str) -> bool {
        let gvr = &self.target.resource.gvr;
        &*gvr.group == group && &*gvr.resource == resource
    }

    /// Whether nothing is to be changed.
    fn is_dry_run(&self) -> bool {
        match self.options {
            Options::Write(options) => options.dry_run,
            Options::Delete(options) => options.dry_run,
        }
    }

    /// The options as an object of `meta.k8s.io`.
    fn options_object(&self) -> Value {
        let options = match self.options {
            Options::Write(options) => {
                options.to_object(if self.operation == Operation::Create { "CreateOptions" } else { "UpdateOptions" })
            }
            Options::Delete(options) => options.to_object(),
        };
        if self.operation == Operation::Connect { Value::Null } else { options }
    }

    /// 403 by a plugin.
    fn forbidden(&self, why: &str) -> Box<object::ApiError> {
        object::ApiError::forbidden(&self.target.resource.group_resource(), self.name, why)
    }
}

type Mutate = fn(&mut ApiServer, &Attributes<'_>, &mut Value) -> Result<()>;
type Validate = fn(&mut ApiServer, &Attributes<'_>, &Value) -> Result<()>;

/// One plugin.
struct Plugin {
    name: &'static str,
    mutate: Option<Mutate>,
    validate: Option<Validate>,
}

const fn plugin(name: &'static str, mutate: Option<Mutate>, validate: Option<Validate>) -> Plugin {
    Plugin { name, mutate, validate }
}

/// The plugins that are on by default, in their order.
const PLUGINS: [Plugin; 22] = [
    plugin("NamespaceLifecycle", Some(namespace::lifecycle), None),
    plugin("LimitRanger", Some(limit_ranger::mutate), Some(limit_ranger::validate)),
    plugin("ServiceAccount", Some(pod::service_account), Some(service_account::validate)),
    plugin("NodeRestriction", None, Some(node_restriction::validate)),
    plugin("TaintNodesByCondition", Some(pod::taint_nodes_by_condition), None),
    plugin("PodSecurity", None, Some(pod_security::validate)),
    plugin("Priority", Some(pod::priority), None),
    plugin("DefaultTolerationSeconds", Some(pod::default_toleration_seconds), None),
    plugin("DefaultStorageClass", Some(storage::default_class), None),
    plugin("StorageObjectInUseProtection", Some(storage::in_use_protection), None),
    plugin("PersistentVolumeClaimResize", None, Some(storage::claim_resize)),
    plugin("RuntimeClass", Some(runtime_class::mutate), None),
    plugin("CertificateApproval", None, Some(certificates::approval)),
    plugin("CertificateSigning", None, Some(certificates::signing)),
    plugin("CertificateSubjectRestriction", None, Some(certificates::subject)),
    plugin("DefaultIngressClass", Some(storage::default_ingress_class), None),
    plugin("PodTopologyLabels", Some(pod::topology_labels), None),
    plugin("MutatingAdmissionPolicy", Some(policy::mutate), None),
    plugin("MutatingAdmissionWebhook", Some(webhook::mutate), None),
    plugin("ValidatingAdmissionPolicy", None, Some(policy::validate)),
    plugin("ValidatingAdmissionWebhook", None, Some(webhook::validate)),
    plugin("ResourceQuota", None, Some(quota::validate)),
];

/// Their names, in their order.
pub fn plugins() -> impl Iterator<Item = &'static str> {
    PLUGINS.iter().map(|plugin| plugin.name)
}

/// The mutating phase. What a webhook changes, the others look at once more.
pub fn mutate(api: &mut ApiServer, attributes: &Attributes<'_>, object: &mut Value) -> Result<()> {
    api.reinvocation = Default::default();
    loop {
        for Plugin { mutate, .. } in &PLUGINS {
            if let Some(mutate) = mutate {
                mutate(api, attributes, object)?;
            }
        }
        if !api.reinvocation.begins() {
            return Ok(());
        }
    }
}

/// The validating phase; `object` is null for a deletion.
pub fn validate(api: &mut ApiServer, attributes: &Attributes<'_>, object: &Value) -> Result<()> {
    for Plugin { validate, .. } in &PLUGINS {
        if let Some(validate) = validate {
            validate(api, attributes, object)?;
        }
    }
    Ok(())
}

/// Both phases for what is posted to a subresource: a Binding, an Eviction, a TokenRequest.
pub fn action(api: &mut ApiServer, write: &Write<'_>, body: &mut Value) -> Result<()> {
    let Write { target, user, options, .. } = *write;
    let options = Options::Write(options);
    let attributes = Attributes { operation: Operation::Create, target, name: &target.name, user, old: None, options };
    mutate(api, &attributes, body)?;
    validate(api, &attributes, body)
}

/// Both phases for a stream or a proxy. Of the plugins, only those that are told what to look at look at these.
pub fn connect(api: &mut ApiServer, write: &Write<'_>, options: &mut Value) -> Result<()> {
    let Write { target, user, .. } = *write;
    let options_of = Options::Write(write.options);
    let attributes =
        Attributes { operation: Operation::Connect, target, name: &target.name, user, old: None, options: options_of };
    api.reinvocation = Default::default();
    policy::mutate(api, &attributes, options)?;
    webhook::mutate(api, &attributes, options)?;
    policy::validate(api, &attributes, options)?;
    webhook::validate(api, &attributes, options)
}

/// The mutating phase of a deletion, which has no object that could be changed.
pub fn delete(api: &mut ApiServer, attributes: &Attributes<'_>) -> Result<()> {
    namespace::delete(attributes.target)?;
    api.reinvocation = Default::default();
    webhook::mutate(api, attributes, &mut Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// <https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/>: `--enable-admission-plugins` of
    /// kube-apiserver lists them in this order.
    #[test]
    fn plugins_stand_in_kubernetes_order() {
        let order = [
            "NamespaceLifecycle",
            "LimitRanger",
            "ServiceAccount",
            "NodeRestriction",
            "TaintNodesByCondition",
            "PodSecurity",
            "Priority",
            "DefaultTolerationSeconds",
            "DefaultStorageClass",
            "StorageObjectInUseProtection",
            "PersistentVolumeClaimResize",
            "RuntimeClass",
            "CertificateApproval",
            "CertificateSigning",
            "CertificateSubjectRestriction",
            "DefaultIngressClass",
            "PodTopologyLabels",
            "MutatingAdmissionPolicy",
            "MutatingAdmissionWebhook",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionWebhook",
            "ResourceQuota",
        ];
        let at = |name: &str| order.iter().position(|known| *known == name).expect("a plugin of Kubernetes");
        let ours: Vec<usize> = plugins().map(at).collect();
        assert!(ours.is_sorted());
    }
}
