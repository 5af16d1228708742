//! The terminal without its screen: line editing, history, words of a command line, completion. All pure.

pub mod complete;
pub mod line;
pub mod words;
