//! What the runner gives up before the container's first instruction: other users' rights, capabilities, the file system
//! outside its directories, system calls. What the machine does not offer is noted and done without.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use landlock::{
    ABI, Access as _, AccessFs, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, path_beneath_rules,
};
use wasmkube_runner::spec::Spec;

use super::syscalls;

/// Joins the container's cgroups (version 1): one thread moves itself, which needs no lock on all processes, unlike moving
/// a whole process. So it must happen while this is the only thread.
pub fn join_cgroups(spec: &Spec) -> Result<()> {
    for tasks in &spec.cgroup_tasks {
        std::fs::write(tasks, "0").with_context(|| format!("cannot join {}", tasks.display()))?;
    }
    Ok(())
}

/// Bounds that the kernel keeps for the process.
pub fn limit_resources(spec: &Spec) {
    set_limit(libc::RLIMIT_CORE, 0);
    if spec.open_files > 0 {
        set_limit(libc::RLIMIT_NOFILE, spec.open_files);
    }
}

fn set_limit(resource: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: `limit` is a valid rlimit for the whole call. Lowering never needs rights; a failure leaves the old bound.
    unsafe { libc::setrlimit(resource, &limit) };
}

/// Gives everything up. Returns what could not be.
pub fn enter(spec: &Spec) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    change_user(spec)?;
    drop_capabilities();
    // SAFETY: a plain flag of this process.
    ensure!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } == 0, "cannot set no_new_privs");
    match restrict_files(spec) {
        Ok(true) => {}
        Ok(false) => notes.push("Landlock is not enabled in this kernel".to_owned()),
        Err(error) => notes.push(format!("Landlock: {error:#}")),
    }
    if let Err(error) = syscalls::restrict() {
        notes.push(format!("seccomp: {error:#}"));
    }
    Ok(notes)
}

fn change_user(spec: &Spec) -> Result<()> {
    // SAFETY: these calls change only this process's identity, which has one thread.
    unsafe {
        if libc::geteuid() != 0 {
            return Ok(());
        }
        ensure!(libc::setgroups(0, std::ptr::null()) == 0, "cannot give up groups");
        if let Some(group) = spec.group {
            ensure!(libc::setgid(group) == 0, "cannot become group {group}");
        }
        if let Some(user) = spec.user {
            ensure!(libc::setuid(user) == 0, "cannot become user {user}");
        }
    }
    Ok(())
}

/// Header of `capset`, as the kernel defines it.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

fn drop_capabilities() {
    const VERSION_3: u32 = 0x2008_0522;
    // SAFETY: prctl takes plain numbers; capset reads a header and two sets of three words, all alive during the call. Without
    // the right to change them there are none to lose.
    unsafe {
        for capability in 0..64 {
            libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
        }
        let header = CapabilityHeader { version: VERSION_3, pid: 0 };
        let none = [0u32; 6];
        libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr());
    }
}

/// Whether the kernel now keeps the process inside its files.
fn restrict_files(spec: &Spec) -> Result<bool> {
    let abi = ABI::V3;
    let mut readable: Vec<PathBuf> = vec!["/etc".into(), "/proc/self".into()];
    let mut writable: Vec<PathBuf> = vec!["/dev/null".into()];
    readable.extend(parent(&spec.services));
    writable.extend(parent(&spec.log.path));
    writable.extend(parent(&spec.ending));
    for mount in &spec.mounts {
        if mount.read_only { &mut readable } else { &mut writable }.push(mount.source.clone());
    }
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(&readable, AccessFs::ReadFile | AccessFs::ReadDir))?
        .add_rules(path_beneath_rules(&writable, AccessFs::from_all(abi) & !AccessFs::Execute))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

fn parent(path: &Path) -> Option<PathBuf> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).map(Path::to_path_buf)
}
