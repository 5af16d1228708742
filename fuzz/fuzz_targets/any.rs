//! Every target is this program under the name of its decoder.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use wasmkube_test_decoders::{Server, decode};

thread_local! {
    static SERVER: RefCell<Server> = RefCell::default();
}

fuzz_target!(|bytes: &[u8]| SERVER.with_borrow_mut(|server| decode(env!("CARGO_BIN_NAME"), server, bytes)));
