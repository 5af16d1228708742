//! Runner processes: how one is started inside its group, watched, found again and ended.
//!
//! A runner outlives the node agent. It is known by its process id together with the time it began, so that a reused id is
//! never taken for it, and it is watched through a pidfd, which works for children and others alike.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;
use wasmkube_runner::spec::Spec;

use super::cgroup::Group;

/// The flag of `clone3`; `libc` has it in a type that is too small.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which process: its id and when it began, in clock ticks since the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: i32,
    /// Start, as in `/proc/PID/stat`.
    pub began: u64,
}

/// A process that can be waited for and signalled.
#[derive(Debug)]
pub struct Process {
    /// Which.
    pub identity: Identity,
    pidfd: AsyncFd<OwnedFd>,
}

/// How a child ended. For a process that is not a child nobody can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Killed(i32),
    /// It ended and was another's child.
    Unknown,
}

/// Starts a runner and waits until its container runs. Returns the notes it made about missing protections.
pub async fn start(runner: &Path, spec: &Spec, group: Option<&Group>) -> Result<(Process, Vec<String>)> {
    let text = serde_json::to_vec(spec)?;
    let (pid, mut input, output) = match group.and_then(Group::start_directory) {
        Some(directory) => spawn_in(runner, directory),
        None => spawn(runner),
    }
    .with_context(|| format!("cannot start {}", runner.display()))?;
    let process = Process::of(pid).context("cannot watch the runner")?;
    // The runner reads this at once; if it has already ended, its last line says why.
    input.write_all(&text).ok();
    drop(input);
    let mut lines = BufReader::new(pipe::Receiver::from_owned_fd(output)?).lines();
    let mut notes = Vec::new();
    loop {
        match lines.next_line().await? {
            None => bail!("the runner ended before its container ran ({:?})", process.wait().await),
            Some(line) if line == "started" => return Ok((process, notes)),
            Some(line) => match line.split_once(' ') {
                Some(("note", note)) => notes.push(note.to_owned()),
                Some(("failed", why)) => {
                    process.wait().await;
                    bail!("{why}");
                }
                _ => {}
            },
        }
    }
}

type Spawned = (i32, File, OwnedFd);

/// Starts a runner that joins its groups itself (or has none). The standard library uses vfork here, which does not copy
/// this process's page tables.
fn spawn(runner: &Path) -> io::Result<Spawned> {
    let mut child = Command::new(runner)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("no pipes"));
    };
    Ok((child.id() as i32, File::from(OwnedFd::from(input)), OwnedFd::from(output)))
}

/// Starts a runner inside a group of version 2. Moving it later would stall for tens of milliseconds.
fn spawn_in(runner: &Path, group: &Path) -> io::Result<Spawned> {
    let program = CString::new(runner.as_os_str().as_bytes())?;
    let directory = File::open(group)?;
    let (child_input, input) = io::pipe()?;
    let (output, child_output) = io::pipe()?;
    let arguments = [program.as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null::<libc::c_char>()];
    // SAFETY: an all-zero clone_args is valid: no stack (the child goes on with a copy of ours), no flags.
    let mut clone: libc::clone_args = unsafe { std::mem::zeroed() };
    clone.flags = CLONE_INTO_CGROUP;
    clone.exit_signal = libc::SIGCHLD as u64;
    clone.cgroup = directory.as_raw_fd() as u64;
    // SAFETY: the child has a copy of this process with one thread. It calls nothing but system calls, with pointers made
    // before, until it becomes another program or ends; it takes no lock and allocates nothing.
    let pid = unsafe {
        let pid = libc::syscall(libc::SYS_clone3, &raw mut clone, size_of::<libc::clone_args>());
        if pid == 0 {
            libc::dup2(child_input.as_raw_fd(), 0);
            libc::dup2(child_output.as_raw_fd(), 1);
            libc::dup2(child_output.as_raw_fd(), 2);
            libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
            libc::_exit(127);
        }
        pid
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((pid as i32, File::from(OwnedFd::from(input)), OwnedFd::from(output)))
}

impl Process {
    /// Watches a process that exists.
    fn of(pid: i32) -> io::Result<Self> {
        // SAFETY: the call takes plain numbers and returns a new descriptor, which is then owned here.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above; nobody else has this descriptor, and it stays open for as long as it is registered.
        let pidfd = unsafe { AsyncFd::register_with_interest(OwnedFd::from_raw_fd(fd as i32), Interest::READABLE) };
        let pidfd = pidfd.map_err(io::Error::from)?;
        Ok(Process { identity: Identity { pid, began: began(pid).unwrap_or(0) }, pidfd })
    }

    /// Finds a process again; `None` if it has ended.
    pub fn find(identity: Identity) -> Option<Self> {
        let process = Process::of(identity.pid).ok()?;
        (process.identity == identity).then_some(process)
    }

    /// Waits until it has ended. Any number of callers may.
    pub async fn ended(&self) {
        // A pidfd is readable once its process has ended, and stays so.
        self.pidfd.readable().await.ok();
    }

    /// Waits until it has ended and says how: to one caller.
    pub async fn wait(&self) -> Status {
        self.ended().await;
        // SAFETY: waitid fills `info`, which is valid for writes; all-zero is a valid value of it.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let fd = self.pidfd.get_ref().as_raw_fd() as libc::id_t;
            if libc::waitid(libc::P_PIDFD, fd, &raw mut info, libc::WEXITED) != 0 {
                return Status::Unknown;
            }
            match info.si_code {
                libc::CLD_EXITED => Status::Exited(info.si_status()),
                _ => Status::Killed(info.si_status()),
            }
        }
    }

    /// Sends a signal. A process that has ended does not mind.
    pub fn signal(&self, signal: i32) {
        let none = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is open; no information is attached.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.pidfd.get_ref().as_raw_fd(), signal, none, 0) };
    }
}

/// When a process began.
fn began(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name may hold anything; fields are counted after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}
