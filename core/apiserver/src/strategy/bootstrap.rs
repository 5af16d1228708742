//! What every cluster has from its first moment: the system namespaces.

use object::{Time, json};

use crate::client::gvr;
use crate::identity::UserInfo;
use crate::server::ApiServer;

/// Makes what is missing; what is there already stays as it is.
pub fn run(api: &mut ApiServer, now: Time) {
    let user = UserInfo::apiserver();
    for name in ["kube-system", "kube-public", "kube-node-lease", "default"] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        // Already there after a restart.
        let _ = api.client(now, &user).create(&gvr("", "v1", "namespaces"), "", namespace);
    }
}
