//! Where the parts of an installation lie: beside the running program, or where `WASMKUBE_HOME` says.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// An installation: `wasmkube`, `wasmkube-runner`, `control-plane.{wasm,cwasm}`, `images/` and `web/` in one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    home: PathBuf,
}

impl Install {
    /// The installation of the running program.
    pub fn find() -> Result<Self> {
        if let Some(home) = std::env::var_os("WASMKUBE_HOME") {
            return Ok(Install { home: home.into() });
        }
        let program = std::env::current_exe().context("cannot find the running program")?;
        Ok(Install { home: program.parent().unwrap_or(Path::new("/")).to_path_buf() })
    }

    /// An installation in this directory.
    pub fn at(home: impl Into<PathBuf>) -> Self {
        Install { home: home.into() }
    }

    /// The directory itself.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The program that runs one container.
    pub fn runner(&self) -> PathBuf {
        self.home.join("wasmkube-runner")
    }

    /// The control plane as a component.
    pub fn control_plane(&self) -> PathBuf {
        self.home.join("control-plane.wasm")
    }

    /// The control plane, precompiled for this machine and this version of the engine.
    pub fn control_plane_precompiled(&self) -> PathBuf {
        self.home.join("control-plane.cwasm")
    }

    /// The built-in images: `NAME.wasm`, and `NAME.cwasm` beside them once precompiled.
    pub fn images(&self) -> PathBuf {
        self.home.join("images")
    }

    /// The playground's files.
    pub fn web(&self) -> PathBuf {
        self.home.join("web")
    }
}
