//! What a run consists of: users' operations and faults, each at its time. Everything else (latencies, lost messages) follows
//! from the seed, drawn for each link by itself, so that leaving a step out changes little of what the others meet.

use object::Value;
use serde::{Deserialize, Serialize};

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Script {
    /// Seed of everything that is not written here.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: u32,
    /// How many revisions of history the control plane keeps: few make watches expire.
    pub history_limit: u32,
    /// What happens, in order of time.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When, in milliseconds from the beginning.
    pub at: u64,
    /// What.
    #[serde(flatten)]
    pub action: Action,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// A user creates an object.
    Create {
        /// The collection's path.
        path: String,
        /// The object.
        object: Value,
    },
    /// A user changes an object with a merge patch.
    Patch {
        /// The object's path.
        path: String,
        /// The patch.
        patch: Value,
    },
    /// A user deletes an object.
    Delete {
        /// The object's path.
        path: String,
        /// `Foreground`, `Background` or `Orphan`.
        propagation: String,
    },
    /// A user evicts a pod: the one of this number among those of the namespace.
    Evict {
        /// Namespace.
        namespace: String,
        /// Which, modulo how many there are.
        pick: u32,
    },
    /// A user deletes a pod, chosen in the same way.
    DeletePod {
        /// Namespace.
        namespace: String,
        /// Which.
        pick: u32,
    },
    /// The control plane dies and comes back from its journal.
    Crash {
        /// Whether what was being written had become durable.
        durable: bool,
        /// How long it is away.
        millis: u64,
    },
    /// The journal takes so long for each transaction.
    SlowJournal {
        /// How long a transaction takes.
        latency: u64,
        /// For how long.
        millis: u64,
    },
    /// The control plane's clock jumps forwards.
    ClockJump {
        /// How far.
        seconds: u64,
    },
    /// A node cannot reach the control plane, nor be reached.
    Partition {
        /// Which.
        node: u32,
        /// For how long.
        millis: u64,
    },
    /// Messages are delayed, lost and sent twice.
    Noise {
        /// Largest additional delay in milliseconds.
        delay: u64,
        /// Of a thousand requests, so many lose themselves or their answer.
        lost: u32,
        /// Of a thousand requests, so many arrive twice.
        twice: u32,
        /// For how long.
        millis: u64,
    },
    /// All open streams break.
    CutStreams {},
    /// A kubelet dies and comes back; its containers go on.
    KubeletRestart {
        /// Which node's.
        node: u32,
        /// How long it is away.
        millis: u64,
    },
    /// A node loses its power and comes back with another idea of the time.
    Reboot {
        /// Which.
        node: u32,
        /// How long it is away.
        millis: u64,
        /// How much later, or earlier, its clock is from then on, in milliseconds.
        clock: i64,
    },
    /// A node's clock jumps forwards.
    NodeClock {
        /// Which.
        node: u32,
        /// How far.
        seconds: u64,
    },
    /// A node loses its power for good, and a user deletes its Node.
    NodeLoss {
        /// Which.
        node: u32,
    },
}

impl Action {
    /// The name of a fault; `None` for what users do.
    pub fn fault(&self) -> Option<&'static str> {
        Some(match self {
            Action::Create { .. }
            | Action::Patch { .. }
            | Action::Delete { .. }
            | Action::Evict { .. }
            | Action::DeletePod { .. } => return None,
            Action::Crash { .. } => "crash",
            Action::SlowJournal { .. } => "slow-journal",
            Action::ClockJump { .. } => "clock-jump",
            Action::Partition { .. } => "partition",
            Action::Noise { .. } => "noise",
            Action::CutStreams {} => "cut-streams",
            Action::KubeletRestart { .. } => "kubelet-restart",
            Action::Reboot { .. } => "reboot",
            Action::NodeClock { .. } => "node-clock",
            Action::NodeLoss { .. } => "node-loss",
        })
    }
}

/// The faults that a generator may choose from.
pub const FAULTS: [&str; 10] = [
    "crash",
    "slow-journal",
    "clock-jump",
    "partition",
    "noise",
    "cut-streams",
    "kubelet-restart",
    "reboot",
    "node-clock",
    "node-loss",
];
