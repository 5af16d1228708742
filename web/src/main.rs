//! The playground: a page that shows a cluster and lets one work on it. It talks to the cluster only through the
//! JavaScript interface of browser/ (see [`services::bridge`]), as any other page could.
//!
//! [`model`] and [`state`] are pure and tested natively; components draw, hooks connect, services do all I/O.

mod components;
mod hooks;
mod manifest;
mod model;
mod pages;
mod picture;
mod services;
mod state;
mod terminal;

fn main() {
    yew::set_custom_panic_hook(Box::new(|info| services::bridge::crashed(&format!("the page stopped: {info}"))));
    let Some(root) = services::bridge::root() else { return };
    yew::Renderer::<pages::playground::Playground>::with_root(root).render();
}
