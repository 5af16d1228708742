//! Images: what a pod's `image` may name, and the store of what was made of it.
//!
//! - `wasmkube/hello`, `wasmkube/http-echo`, `wasmkube/stress` with any tag: built in.
//! - `file:///path/to/program.wasm`, or `./program.wasm` (from where the node was started): a component or a core module.
//! - `file:///path/to/directory[:tag]`: an OCI layout, as `oras` and others write it.
//!
//! Whatever it was becomes one precompiled component, kept under the digest of what it was made from.

pub mod compile;
mod oci;
mod tar;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use kubelet::io::{ImageInfo, PullError, PulledImage};
use serde::{Deserialize, Serialize};

use crate::install::Install;

/// Larger programs are refused.
const MAX_WASM: u64 = 512 << 20;

/// An image that can be run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// The precompiled component.
    pub component: PathBuf,
    /// Size in bytes of what it was made from.
    pub size: u64,
    /// What the image says about running it.
    pub config: Config,
}

/// What an image says about running it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// Further arguments.
    pub cmd: Vec<String>,
    /// Environment as `NAME=value`.
    pub env: Vec<String>,
    /// Working directory.
    pub working_dir: String,
}

/// A program as it was found, before it is compiled.
struct Source {
    wasm: Vec<u8>,
    config: Config,
    /// Code that an installation brings for it.
    compiled: Option<PathBuf>,
}

/// The images of this node.
#[derive(Clone, Debug)]
pub struct Images {
    directory: PathBuf,
    install: Install,
    compiler: compile::Compiler,
}

impl Images {
    /// Opens the store in `directory`.
    pub fn open(directory: &Path, install: &Install) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Images { directory: directory.to_path_buf(), install: install.clone(), compiler: compile::Compiler::new()? })
    }

    /// Gets an image.
    pub async fn pull(&self, reference: &str) -> Result<PulledImage, PullError> {
        let start = Instant::now();
        let name = match Name::parse(reference) {
            Some(name) => name,
            None => {
                let message = format!("couldn't parse image name {reference:?}: invalid reference format");
                return Err(PullError { invalid_name: true, message });
            }
        };
        let failed = |error: anyhow::Error| PullError {
            invalid_name: false,
            message: format!("failed to pull image {reference:?}: {error:#}"),
        };
        let store = self.clone();
        let source = tokio::task::spawn_blocking(move || store.source(&name)).await;
        let source = source.map_err(anyhow::Error::from).and_then(|source| source).map_err(failed)?;
        let size = source.wasm.len() as u64;
        let id = self.import(source).await.map_err(failed)?;
        Ok(PulledImage { info: ImageInfo { id: id.into(), size }, millis: start.elapsed().as_millis() as u64 })
    }

    /// An image that was pulled before, by its identity.
    pub fn get(&self, id: &str) -> Result<Image> {
        let path = self.record(id)?;
        let text = fs::read(&path).with_context(|| format!("image {id} is not on this node"))?;
        let image: Image = serde_json::from_slice(&text)?;
        ensure!(image.component.exists(), "image {id} is not on this node");
        Ok(image)
    }

    fn record(&self, id: &str) -> Result<PathBuf> {
        let digest = id.strip_prefix("sha256:").context("not a digest")?;
        ensure!(!digest.is_empty() && digest.bytes().all(|b| b.is_ascii_hexdigit()), "not a digest");
        Ok(self.directory.join(digest).join(format!("{}.json", self.compiler.version())))
    }

    fn source(&self, name: &Name) -> Result<Source> {
        match name {
            Name::BuiltIn(name) => {
                let wasm = self.install.images().join(format!("{name}.wasm"));
                let compiled = self.install.images().join(format!("{name}.cwasm"));
                ensure!(wasm.exists(), "there is no built-in image \"wasmkube/{name}\"; there are {}", self.built_in());
                let fresh = modified(&compiled).is_some_and(|code| modified(&wasm).is_some_and(|wasm| code >= wasm));
                Ok(Source { wasm: read(&wasm)?, config: Config::default(), compiled: fresh.then_some(compiled) })
            }
            Name::Path(path) if path.is_file() => Ok(Source { wasm: read(path)?, config: Config::default(), compiled: None }),
            Name::Path(path) => {
                let (directory, tag) = oci::split_tag(path);
                ensure!(directory.exists(), "{} does not exist on this node", directory.display());
                oci::load(&directory, tag.as_deref())
            }
            Name::Registry(name) => bail!(
                "{name:?} would come from a registry, which is not supported yet; use a built-in image ({}), \
                 file:///path/to/program.wasm, or file:///path/to/oci-layout[:tag]",
                self.built_in()
            ),
        }
    }

    fn built_in(&self) -> String {
        let mut names: Vec<String> = fs::read_dir(self.install.images())
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some(format!("wasmkube/{}", entry.file_name().to_str()?.strip_suffix(".wasm")?)))
            .collect();
        names.sort();
        names.join(", ")
    }

    /// Makes a source runnable, unless that was done before, and returns its identity.
    async fn import(&self, source: Source) -> Result<String> {
        let id = oci::digest(&source.wasm);
        if self.get(&id).is_ok_and(|image| image.config == source.config) {
            return Ok(id);
        }
        let record = self.record(&id)?;
        let directory = record.parent().context("no directory")?.to_path_buf();
        fs::create_dir_all(&directory)?;
        let size = source.wasm.len() as u64;
        let component = directory.join(format!("{}.cwasm", self.compiler.version()));
        match source.compiled {
            Some(compiled) => {
                fs::copy(&compiled, component.with_extension("new"))?;
                fs::rename(component.with_extension("new"), &component)?;
            }
            None => {
                let wasm = directory.join("program.wasm");
                fs::write(&wasm, &source.wasm)?;
                self.compiler.compile(&wasm, &component).await?;
                fs::remove_file(&wasm)?;
            }
        }
        let text = serde_json::to_vec(&Image { component, size, config: source.config })?;
        let fresh = record.with_extension("new");
        fs::write(&fresh, text)?;
        fs::rename(&fresh, &record)?;
        Ok(id)
    }
}

/// What an image reference names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    BuiltIn(String),
    Path(PathBuf),
    Registry(String),
}

impl Name {
    fn parse(reference: &str) -> Option<Self> {
        if let Some(path) = reference.strip_prefix("file://") {
            return path.starts_with('/').then(|| Name::Path(path.into()));
        }
        if reference.starts_with("./") || reference.starts_with("../") || reference.starts_with('/') {
            return Some(Name::Path(std::env::current_dir().ok()?.join(reference)));
        }
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/:@".contains(&b);
        let (name, digest) = reference.split_once('@').map_or((reference, None), |(name, digest)| (name, Some(digest)));
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (name, None),
        };
        let tag_is_legal = tag.is_none_or(|tag| {
            (1..=128).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        });
        let parts_are_legal = repository.split('/').all(|part| !part.is_empty() && part.as_bytes()[0].is_ascii_alphanumeric());
        if !tag_is_legal || !parts_are_legal || !repository.bytes().all(legal) || digest.is_some_and(|d| !d.contains(':')) {
            return None;
        }
        let short = repository.strip_prefix("docker.io/").unwrap_or(repository);
        Some(match short.strip_prefix("wasmkube/") {
            Some(name) if !name.contains('/') => Name::BuiltIn(name.to_owned()),
            _ => Name::Registry(reference.to_owned()),
        })
    }
}

/// SHA-256 in hexadecimal digits.
pub fn hex_digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// Reads a program of a bearable size.
fn read(path: &Path) -> Result<Vec<u8>> {
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    ensure!(size <= MAX_WASM, "{} is larger than {MAX_WASM} bytes", path.display());
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

impl Image {
    /// The arguments of a container, the program's name first.
    pub fn arguments(&self, reference: &str, command: &[String], args: &[String]) -> Vec<String> {
        let entrypoint = if command.is_empty() { &self.config.entrypoint } else { command };
        // As in Kubernetes: a command of the pod's own makes the image's arguments meaningless.
        let args = if args.is_empty() && command.is_empty() { &self.config.cmd } else { args };
        let mut all = entrypoint.to_vec();
        if all.is_empty() {
            let name: Arc<str> = reference.rsplit('/').next().unwrap_or(reference).into();
            all.push(name.split([':', '@']).next().unwrap_or("main").trim_end_matches(".wasm").to_owned());
        }
        all.extend(args.iter().cloned());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let built_in = |name: &str| Some(Name::BuiltIn(name.to_owned()));
        let registry = |name: &str| Some(Name::Registry(name.to_owned()));
        let cases = [
            ("wasmkube/hello", built_in("hello")),
            ("wasmkube/http-echo:v2", built_in("http-echo")),
            ("docker.io/wasmkube/stress:latest", built_in("stress")),
            ("nginx", registry("nginx")),
            ("ghcr.io:443/a/b:Tag_1", registry("ghcr.io:443/a/b:Tag_1")),
            ("a/b@sha256:00", registry("a/b@sha256:00")),
            ("file:///x/y.wasm", Some(Name::Path("/x/y.wasm".into()))),
            ("Nginx", None),
            ("a//b", None),
            ("", None),
            ("a:", None),
            ("file://relative", None),
        ];
        for (reference, want) in cases {
            assert_eq!(Name::parse(reference), want, "{reference}");
        }
    }

    #[test]
    fn commands_replace_as_kubernetes_says() {
        let config = Config { entrypoint: vec!["server".into()], cmd: vec!["--port=1".into()], ..Config::default() };
        let image = Image { config, ..Image::default() };
        let text = |words: &str| words.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let cases = [("", "", "server --port=1"), ("", "a b", "server a b"), ("own", "", "own"), ("own", "a", "own a")];
        for (command, args, want) in cases {
            assert_eq!(image.arguments("x", &text(command), &text(args)), text(want), "{command:?} {args:?}");
        }
        assert_eq!(Image::default().arguments("wasmkube/hello:v1", &[], &text("you")), text("hello you"));
    }
}
