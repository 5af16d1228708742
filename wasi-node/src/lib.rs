//! Core as a WASI component: one export, `step`, in the world of `wit/control-plane.wit`.
//!
//! Invariant: it imports nothing but what printing a panic needs: no file, no socket, no clock. The host's tests hold the
//! built component to that.

use std::cell::RefCell;

use cluster::Cluster;
use cluster::wire::{self, StepInput};

wit_bindgen::generate!({ path: "wit", world: "control-plane" });
export!(Component);

#[global_allocator]
static MEMORY: memory::SizeClasses = memory::SizeClasses::new();

thread_local! {
    /// The one control plane of this instance. Components have one thread.
    static CLUSTER: RefCell<Cluster> = RefCell::new(Cluster::new());
}

struct Component;

impl Guest for Component {
    fn step(input: Vec<u8>) -> Vec<u8> {
        // Only the host calls, and it encodes with the same code: bytes that do not decode are its mistake, and the trap
        // that follows makes it start anew.
        let input: StepInput = wire::decode(&input).expect("a StepInput in wire's encoding");
        let output = CLUSTER.with_borrow_mut(|cluster| cluster.step(input.now, input.inputs));
        wire::encode(&output)
    }
}
