//! What the page is made of; one small component per file.

pub mod ago;
pub mod drawer;
pub mod editor;
pub mod events;
pub mod guide;
pub mod header;
pub mod icon;
pub mod node_box;
pub mod picture;
pub mod pod_tile;
pub mod summary;
pub mod tabs;
pub mod terminal;
