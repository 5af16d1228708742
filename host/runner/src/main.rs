//! host/runner

fn main() {}
