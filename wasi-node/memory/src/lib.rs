//! The allocator of the WebAssembly modules that hold the control plane, the component and the page's.
//!
//! Objects are trees of small maps, lists and strings, and a control plane makes and drops little else. Here each size up
//! to [`LARGEST`] bytes has a list of free blocks of its own, so that taking one and giving one back is a few
//! instructions; everything larger goes to the standard library's allocator. Making 1,000 pods takes a fifth less time than
//! with that allocator alone.
//!
//! The price: a block serves its own size again and no other, so memory stays at the sum of what each size needed at most.
//!
//! Only for one thread: [`SizeClasses`] is [`Sync`] where WebAssembly has no threads, and nowhere else, so that a native
//! program cannot make it global.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;

/// The largest block that has a list of free ones, in bytes. A node of the maps that objects are made of has half of it.
pub const LARGEST: usize = 1_024;

/// Sizes are rounded up to this, which is also the largest alignment of a block.
const GRAIN: usize = 16;

/// So much is taken from the standard library's allocator at once.
const SLAB: usize = 64 << 10;

/// Free blocks by size.
pub struct SizeClasses {
    inner: UnsafeCell<Inner>,
}

struct Inner {
    /// The first free block of each class; each holds the address of the next.
    free: [*mut u8; LARGEST / GRAIN + 1],
    /// What is left of the newest slab.
    slab: (*mut u8, usize),
}

impl SizeClasses {
    /// One that has nothing yet.
    pub const fn new() -> Self {
        SizeClasses { inner: UnsafeCell::new(Inner { free: [ptr::null_mut(); LARGEST / GRAIN + 1], slab: (ptr::null_mut(), 0) }) }
    }
}

impl Default for SizeClasses {
    fn default() -> Self {
        SizeClasses::new()
    }
}

// SAFETY: without threads nobody else can look.
#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
unsafe impl Sync for SizeClasses {}

/// The class of a layout, if it has one.
#[inline]
fn class(layout: Layout) -> Option<usize> {
    (layout.size() <= LARGEST && layout.align() <= GRAIN).then(|| layout.size().div_ceil(GRAIN))
}

impl Inner {
    /// A block for a class whose list is empty.
    #[cold]
    #[inline(never)]
    fn fresh(&mut self, class: usize) -> *mut u8 {
        let size = class.max(1) * GRAIN;
        if self.slab.1 < size {
            // SAFETY: the layout is not empty.
            let slab = unsafe { System.alloc(Layout::from_size_align_unchecked(SLAB, GRAIN)) };
            if slab.is_null() {
                return slab;
            }
            // What was left of the last one, less than the largest block, becomes a free block of its size.
            let (rest, left) = std::mem::replace(&mut self.slab, (slab, SLAB));
            if left > 0 {
                // SAFETY: the rest is a multiple of the grain that nobody has been given.
                unsafe { self.give(left / GRAIN, rest) };
            }
        }
        let block = self.slab.0;
        // SAFETY: the slab has room for it.
        self.slab = (unsafe { block.add(size) }, self.slab.1 - size);
        block
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// It must be of that class, and nobody's.
    #[inline]
    unsafe fn give(&mut self, class: usize, block: *mut u8) {
        // SAFETY: a block has room for an address and its alignment.
        unsafe { block.cast::<*mut u8>().write(self.free[class]) };
        self.free[class] = block;
    }
}

// SAFETY: a block is in one list or with one caller, has its class' size, and begins at a multiple of the grain.
unsafe impl GlobalAlloc for SizeClasses {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class(layout) else {
            // SAFETY: as the caller promises.
            return unsafe { System.alloc(layout) };
        };
        // SAFETY: one thread, and nothing in here calls back.
        let inner = unsafe { &mut *self.inner.get() };
        let block = inner.free[class];
        if block.is_null() {
            return inner.fresh(class);
        }
        // SAFETY: a free block begins with the address of the next.
        inner.free[class] = unsafe { block.cast::<*mut u8>().read() };
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class(layout) {
            // SAFETY: one thread; the caller promises that the block came from here with this layout.
            Some(class) => unsafe { (*self.inner.get()).give(class, block) },
            // SAFETY: as the caller promises.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class(layout).is_none() {
            // SAFETY: as the caller promises. Fresh memory need not be cleared again.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: as the caller promises.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: the block has that size.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size fits the alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class(layout), class(wanted)) {
            (Some(old), Some(new)) if old == new => return block,
            // SAFETY: as the caller promises; both are the standard library's.
            (None, None) => return unsafe { System.realloc(block, layout, size) },
            _ => {}
        }
        // SAFETY: as the caller promises.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: two blocks of at least that size; the old one is given back once.
            unsafe {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block that somebody has, filled with a byte of its own.
    struct Held {
        block: *mut u8,
        layout: Layout,
        byte: u8,
    }

    impl Held {
        fn check(&self) {
            // SAFETY: the block has that size and was written.
            let bytes = unsafe { std::slice::from_raw_parts(self.block, self.layout.size()) };
            assert!(bytes.iter().all(|byte| *byte == self.byte), "a block of {} bytes was overwritten", bytes.len());
        }

        fn fill(&self) {
            // SAFETY: the block has that size.
            unsafe { self.block.write_bytes(self.byte, self.layout.size()) };
        }
    }

    #[test]
    fn blocks_are_their_holders_alone() {
        let memory = SizeClasses::new();
        let mut held: Vec<Held> = Vec::new();
        let mut state = 1_u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for round in 0..50_000_usize {
            let size = if random(20) == 0 { 1 + random(4 * LARGEST) } else { 1 + random(300) };
            match random(5) {
                0 | 1 if !held.is_empty() => {
                    let gone = held.swap_remove(random(held.len()));
                    gone.check();
                    unsafe { memory.dealloc(gone.block, gone.layout) };
                }
                2 if !held.is_empty() => {
                    let at = random(held.len());
                    let old = &held[at];
                    old.check();
                    let block = unsafe { memory.realloc(old.block, old.layout, size) };
                    let layout = Layout::from_size_align(size, old.layout.align()).unwrap();
                    let kept = Layout::from_size_align(size.min(old.layout.size()), 1).unwrap();
                    Held { block, layout: kept, byte: old.byte }.check();
                    held[at] = Held { block, layout, byte: old.byte };
                    held[at].fill();
                }
                _ => {
                    let layout = Layout::from_size_align(size, 1 << random(7)).unwrap();
                    let zeroed = random(2) == 0;
                    let block = unsafe { if zeroed { memory.alloc_zeroed(layout) } else { memory.alloc(layout) } };
                    assert_eq!(block as usize % layout.align(), 0, "{layout:?}");
                    if zeroed {
                        Held { block, layout, byte: 0 }.check();
                    }
                    held.push(Held { block, layout, byte: round as u8 });
                    held[held.len() - 1].fill();
                }
            }
        }
        for rest in held {
            rest.check();
            unsafe { memory.dealloc(rest.block, rest.layout) };
        }
    }

    #[test]
    fn a_block_is_used_again() {
        let memory = SizeClasses::new();
        let layout = Layout::from_size_align(100, 8).unwrap();
        let first = unsafe { memory.alloc(layout) };
        unsafe { memory.dealloc(first, layout) };
        let sibling = Layout::from_size_align(112, 16).unwrap();
        assert_eq!(unsafe { memory.alloc(sibling) }, first);
        assert_eq!(unsafe { memory.realloc(first, sibling, 97) }, first, "the same class");
    }
}
