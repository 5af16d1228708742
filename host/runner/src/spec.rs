//! What the node agent tells the runner (on its standard input, as JSON) and what the runner tells back.
//!
//! While it prepares, the runner writes lines to its standard output: `note TEXT` for a protection that is not to be had
//! here, then `started`, or `failed TEXT`. When the container ends it leaves an [`Ending`] in [`Spec::ending`]; a runner
//! that was killed leaves none.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// The precompiled component.
    pub component: PathBuf,
    /// Arguments; the first is the program's name.
    pub args: Vec<String>,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// Working directory inside; empty for the root.
    pub working_dir: String,
    /// Directories of the container. Without any it has no file system.
    pub mounts: Vec<Mount>,
    /// Bytes that the container's linear memories may have together.
    pub memory_limit: Option<u64>,
    /// Address of the pod: listening sockets are bound to it. Without it the container has no network.
    pub address: Option<IpAddr>,
    /// The Service table (see [`crate::services`]); empty for none.
    pub services: PathBuf,
    /// Namespace in which short Service names are looked up.
    pub namespace: String,
    /// The pod's own host name.
    pub hostname: String,
    /// The container's log.
    pub log: Log,
    /// Where the container's ending is recorded.
    pub ending: PathBuf,
    /// Files of cgroup v1 controllers that the runner joins by writing to them. Empty with cgroup v2, where it is
    /// started inside.
    pub cgroup_tasks: Vec<PathBuf>,
    /// Most open files.
    pub open_files: u64,
    /// User to run as, if the runner may change it.
    pub user: Option<u32>,
    /// Group to run as, if the runner may change it.
    pub group: Option<u32>,
}

/// A directory of the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is on the node.
    pub source: PathBuf,
    /// Where it appears.
    pub path: String,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// A container's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// The current file.
    pub path: PathBuf,
    /// It is rotated when it is larger than this.
    pub max_bytes: u64,
    /// How many files are kept, the current one included.
    pub max_files: u32,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Exit code.
    pub code: i32,
    /// Whether it needed more memory than its limit.
    #[serde(default)]
    pub out_of_memory: bool,
    /// Why, if it did not end by itself.
    #[serde(default)]
    pub message: String,
}
