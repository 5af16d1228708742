//! Writes the schemas of all built-in kinds, in the form of `src/model.rs`, to `OUT_DIR/schemas.bin`.
//!
//! Types, fields and descriptions come from the `k8s-openapi` crate; what it does not say comes from `overlay/*.yaml`
//! (see `overlay/README.md`). A name in the overlay that matches nothing fails the build.

#![allow(clippy::disallowed_methods, reason = "a build script reads files and its environment")]

mod graph;
#[path = "../src/model.rs"]
#[allow(dead_code)]
mod model;
mod overlay;
mod roots;

use std::error::Error;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=overlay");
    println!("cargo:rerun-if-changed=src/model.rs");
    let root = env::var("CARGO_MANIFEST_DIR")?;
    let overlay = overlay::read(&Path::new(&root).join("overlay"))?;
    let model = graph::build(roots::definitions(), overlay)?;
    let path = Path::new(&env::var("OUT_DIR")?).join("schemas.bin");
    let bytes = postcard::to_allocvec(&model)?;
    // Documents made from the schemas change exactly when these bytes do (FNV-1a).
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    println!("cargo:rustc-env=SCHEMAS_HASH={hash:016x}");
    fs::write(path, bytes)?;
    Ok(())
}
