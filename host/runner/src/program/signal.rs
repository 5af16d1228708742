//! SIGTERM: a thread of its own waits for it, since a busy container never yields.

use std::mem::MaybeUninit;

/// Exit code of a program that SIGTERM ended.
pub const TERMINATED: i32 = 128 + libc::SIGTERM;

/// Blocks SIGTERM in this thread and all that it starts. To be called before any other thread exists.
pub fn block() {
    let set = sigterm();
    // SAFETY: `set` is an initialised signal set and no old set is asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
}

/// Calls `end` once SIGTERM arrives.
pub fn watch(end: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name("sigterm".to_owned()).stack_size(64 << 10).spawn(move || {
        let set = sigterm();
        // SAFETY: `set` is an initialised signal set; nothing is asked to be told about the signal.
        while unsafe { libc::sigtimedwait(&set, std::ptr::null_mut(), std::ptr::null()) } != libc::SIGTERM {}
        end();
    })?;
    Ok(())
}

fn sigterm() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set that sigaddset then changes.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        set.assume_init()
    }
}
