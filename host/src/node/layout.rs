//! Where a node keeps what: one directory per pod, in it one per container and one per volume.
//!
//! ```text
//! images/                                   programs made ready to run
//! services.json                             the Service table that runners read
//! pods/UID/pod.json                         the pod's names and addresses
//! pods/UID/containers/NAME/ATTEMPT.json     the run's process and group, later its end
//! pods/UID/containers/NAME/ATTEMPT.log      its log; older parts are ATTEMPT.log.1 and so on
//! pods/UID/containers/NAME/ATTEMPT.end      its end as the runner saw it
//! pods/UID/containers/NAME/ATTEMPT.root/    its root directory
//! pods/UID/volumes/NAME/                    a volume
//! ```

use std::io;
use std::path::{Path, PathBuf};

use kubelet::io::ContainerId;

/// A node's directory.
#[derive(Clone, Debug)]
pub struct Layout {
    base: PathBuf,
}

impl Layout {
    /// The layout below this directory.
    pub fn new(base: &Path) -> Self {
        Layout { base: base.to_path_buf() }
    }

    /// The image store.
    pub fn images(&self) -> PathBuf {
        self.base.join("images")
    }

    /// The Service table.
    pub fn services(&self) -> PathBuf {
        self.base.join("services.json")
    }

    /// All pods.
    pub fn pods(&self) -> PathBuf {
        self.base.join("pods")
    }

    /// One pod. Identities come from the API: what is not a plain name leads nowhere.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(plain(uid))
    }

    /// The record of a pod's names and addresses.
    pub fn pod_record(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("pod.json")
    }

    /// A pod's containers.
    pub fn containers(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("containers")
    }

    /// A pod's volumes.
    pub fn volumes(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("volumes")
    }

    /// A volume of a pod.
    pub fn volume(&self, uid: &str, name: &str) -> PathBuf {
        self.volumes(uid).join(plain(name))
    }

    /// A file of one run of a container.
    pub fn run(&self, id: &ContainerId, extension: &str) -> PathBuf {
        self.containers(&id.pod).join(plain(&id.name)).join(format!("{}.{extension}", id.attempt))
    }
}

fn plain(name: &str) -> &str {
    if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') { "invalid" } else { name }
}

/// Writes a file whole or not at all.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, content)?;
    std::fs::rename(&fresh, path)
}
