//! The directories of a container: its root, and its volumes in it.
//!
//! A WASI program is given directories, never single files; a volume's single file (`subPath`) is put into the root as a
//! copy, which, as in Kubernetes, does not follow later changes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use kubelet::io::StartContainer;
use object::Value;
use wasmkube_runner::spec::Mount;

use super::layout::Layout;

/// Makes the mount points ready.
pub fn prepare(layout: &Layout, wish: &StartContainer, root: &Path) -> Result<Vec<Mount>> {
    let read_only = wish.security_context.get("readOnlyRootFilesystem").and_then(Value::as_bool) == Some(true);
    if let Some(parent) = inside(root, &wish.termination_message_path)?.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut mounts = vec![Mount { source: root.to_path_buf(), path: "/".to_owned(), read_only }];
    for mount in &wish.mounts {
        let volume = source(layout, wish, &mount.volume);
        let volume = volume.canonicalize().with_context(|| format!("volume {:?} is not there", mount.volume))?;
        let wanted = inside(&volume, &mount.sub_path)?;
        if !mount.sub_path.is_empty() && !wanted.exists() {
            fs::create_dir_all(&wanted).with_context(|| format!("cannot make subPath {:?}", mount.sub_path))?;
        }
        let source = wanted.canonicalize().with_context(|| format!("volume {:?} is not there", mount.volume))?;
        ensure!(source.starts_with(&volume), "subPath {:?} leads out of the volume", mount.sub_path);
        if source.is_file() {
            let target = inside(root, &mount.path)?;
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::copy(&source, &target).with_context(|| format!("cannot put {:?} in place", mount.path))?;
        } else {
            // The mount point is there for programs that list the directory above it.
            fs::create_dir_all(inside(root, &mount.path)?)?;
            mounts.push(Mount { source, path: mount.path.clone(), read_only: mount.read_only });
        }
    }
    Ok(mounts)
}

/// Where a volume's content is: paths of the node are used as they are.
fn source(layout: &Layout, wish: &StartContainer, name: &str) -> PathBuf {
    let volume = wish.pod.spec.volumes.iter().find(|volume| volume.name == name);
    match volume.and_then(|volume| volume.host_path.as_ref()) {
        Some(host) => PathBuf::from(&host.path),
        None => layout.volume(&wish.id.pod, name),
    }
}

/// A path below `base`, whatever slashes it begins with.
fn inside(base: &Path, path: &str) -> Result<PathBuf> {
    let mut out = base.to_path_buf();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        ensure!(part != "..", "path {path:?} must not contain \"..\"");
        out.push(part);
    }
    Ok(out)
}
