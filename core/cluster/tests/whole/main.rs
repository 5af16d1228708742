//! A whole cluster from the outside, in virtual time: pods from their owner to their end, the scheduler and what it explains,
//! rights, causes, traces and the simulator. One module per subject.
//!
//! All are one binary, because each further one is linked by itself, natively and as a WASI program.

mod causes;
mod devices;
mod explanations;
mod pods;
mod preemption;
mod rights;
mod scheduling;
mod scheduling_world;
mod simulation;
mod trace;
mod volumes;
