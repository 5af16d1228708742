//! Volumes as directories. Files that the API owns are changed all at once: a new directory is filled and the link `..data`
//! moves to it, as in Kubernetes.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path};

use anyhow::{Context as _, Result, bail, ensure};
use hyper::Method;
use kubelet::io::{FileContent, PodRef, VolumeContent, VolumeFile, VolumeSource};
use object::json;
use object::value::str_at;

use super::layout::Layout;
use super::now;
use crate::client::Client;

/// Makes a pod's volumes what they must be.
pub async fn materialise(client: &Client, layout: &Layout, pod: &PodRef, contents: Vec<VolumeContent>) -> Result<()> {
    for VolumeContent { volume, source } in contents {
        let directory = layout.volume(&pod.uid, &volume);
        make(client, pod, &directory, source)
            .await
            .with_context(|| format!("MountVolume.SetUp failed for volume {volume:?} "))?;
    }
    Ok(())
}

async fn make(client: &Client, pod: &PodRef, directory: &Path, source: VolumeSource) -> Result<()> {
    match source {
        VolumeSource::EmptyDir { .. } => Ok(fs::create_dir_all(directory)?),
        VolumeSource::Files(files) => {
            let files = with_tokens(client, pod, files).await?;
            fs::create_dir_all(directory)?;
            Ok(put(directory, &files)?)
        }
        VolumeSource::HostPath { path, kind } => host_path(Path::new(&path), &kind),
        VolumeSource::Claim { name, .. } => bail!("PersistentVolumeClaim {name:?}: volumes of claims are not supported yet"),
    }
}

fn host_path(path: &Path, kind: &str) -> Result<()> {
    match kind {
        "" => {}
        "DirectoryOrCreate" => fs::create_dir_all(path)?,
        "FileOrCreate" if !path.exists() => drop(fs::File::create(path)?),
        "Directory" => ensure!(path.is_dir(), "hostPath type check failed: {} is not a directory", path.display()),
        "File" | "FileOrCreate" => ensure!(path.is_file(), "hostPath type check failed: {} is not a file", path.display()),
        other => bail!("hostPath type {other:?} is not supported"),
    }
    ensure!(path.exists(), "{} does not exist", path.display());
    Ok(())
}

/// Requests the tokens among the files.
async fn with_tokens(client: &Client, pod: &PodRef, files: Vec<VolumeFile>) -> Result<Vec<(String, u32, Vec<u8>)>> {
    let mut out = Vec::new();
    for file in files {
        let bytes = match &file.content {
            FileContent::Bytes(bytes) => bytes.to_vec(),
            FileContent::ServiceAccountToken { account, audience, expiration_seconds } => {
                token(client, pod, account, audience, *expiration_seconds).await?.into_bytes()
            }
        };
        out.push((file.path, file.mode, bytes));
    }
    Ok(out)
}

/// A token of the pod's service account.
async fn token(client: &Client, pod: &PodRef, account: &str, audience: &str, seconds: u64) -> Result<String> {
    let mut spec = json!({
        "expirationSeconds": seconds,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": &*pod.uid},
    });
    if !audience.is_empty() {
        spec["audiences"] = json!([audience]);
    }
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let target = format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", pod.namespace);
    let answer = client.json(Method::POST, &target, &request).await;
    let answer = answer.with_context(|| format!("failed to fetch token of service account {account:?}"))?;
    Ok(str_at(&answer, &["status", "token"]).to_owned())
}

/// Puts exactly these files into a directory.
fn put(directory: &Path, files: &[(String, u32, Vec<u8>)]) -> io::Result<()> {
    let current = fs::read_link(directory.join("..data")).ok();
    if current.as_ref().is_some_and(|current| same(&directory.join(current), files)) {
        return Ok(());
    }
    let name = fresh_directory(directory)?;
    let fresh = directory.join(&name);
    let mut tops = Vec::new();
    for (path, mode, bytes) in files {
        let path = Path::new(path);
        let Some(Component::Normal(top)) = path.components().next() else { continue };
        if path.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(io::Error::other(format!("path {path:?} leads out of the volume")));
        }
        let target = fresh.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, bytes)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(*mode))?;
        tops.push(top.to_owned());
    }
    symlink(&name, directory.join("..data_tmp"))?;
    fs::rename(directory.join("..data_tmp"), directory.join("..data"))?;
    for entry in fs::read_dir(directory)?.flatten() {
        let entry_name = entry.file_name();
        if !entry_name.to_string_lossy().starts_with("..") && !tops.contains(&entry_name) {
            fs::remove_file(entry.path())?;
        }
    }
    for top in tops {
        match symlink(Path::new("..data").join(&top), directory.join(&top)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    if let Some(old) = current.filter(|old| *old != Path::new(&name)) {
        fs::remove_dir_all(directory.join(old))?;
    }
    Ok(())
}

/// Makes a directory that nothing points to yet. The name says when, as the kubelet's does; the clock may stand still
/// between two updates, so the name is counted on until it is new.
fn fresh_directory(directory: &Path) -> io::Result<String> {
    fs::create_dir_all(directory)?;
    let time = now().rfc3339_micros().replace([':', '.'], "_");
    let mut count = 0_u32;
    loop {
        let name = format!("..{time}.{count}");
        match fs::create_dir(directory.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => count += 1,
            other => return other.map(|()| name),
        }
    }
}

/// Whether a directory already holds exactly these files.
fn same(directory: &Path, files: &[(String, u32, Vec<u8>)]) -> bool {
    let equal = |(path, mode, bytes): &(String, u32, Vec<u8>)| {
        let path = directory.join(path);
        let mode_now = fs::metadata(&path).map(|meta| meta.permissions().mode() & 0o7777);
        mode_now.is_ok_and(|now| now == *mode) && fs::read(&path).is_ok_and(|now| now == *bytes)
    };
    count(directory, 16) == files.len() && files.iter().all(equal)
}

fn count(directory: &Path, depth: u32) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| if depth > 0 && entry.path().is_dir() { count(&entry.path(), depth - 1) } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_change_together() {
        // A room of its own around the volume, so that what stands elsewhere says nothing about what escapes it.
        let room = std::env::temp_dir().join(format!("wasmkube-volume-{}", std::process::id()));
        let dir = room.join("volume");
        fs::create_dir_all(&dir).unwrap();
        let file = |path: &str, text: &str| (path.to_owned(), 0o644, text.as_bytes().to_vec());
        let read = |path: &str| fs::read_to_string(dir.join(path)).ok();
        put(&dir, &[file("a", "1"), file("sub/b", "2")]).unwrap();
        assert_eq!((read("a").as_deref(), read("sub/b").as_deref()), (Some("1"), Some("2")));
        let first = fs::read_link(dir.join("..data")).unwrap();
        put(&dir, &[file("a", "1"), file("sub/b", "2")]).unwrap();
        assert_eq!(fs::read_link(dir.join("..data")).unwrap(), first, "nothing changed");
        put(&dir, &[file("a", "3"), file("c", "4")]).unwrap();
        assert_eq!((read("a").as_deref(), read("sub/b"), read("c").as_deref()), (Some("3"), None, Some("4")));
        assert!(!dir.join(first).exists(), "the old content is gone");
        // Many updates within one tick of the clock are still whole directories of their own.
        for round in 0..100 {
            put(&dir, &[file("a", &round.to_string()), file(&format!("only-{round}"), "")]).unwrap();
            assert_eq!(count(&dir.join(fs::read_link(dir.join("..data")).unwrap()), 16), 2, "round {round}");
        }
        assert!(put(&dir, &[file("../x", "")]).is_err() || !dir.join("../x").exists());
        fs::remove_dir_all(room).unwrap();
    }
}
