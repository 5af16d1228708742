//! The few icons of the page, drawn as strokes of the current colour.

use yew::prelude::*;

/// An icon of this name, hidden from screen readers: the button around it has a label.
pub fn icon(name: &'static str) -> Html {
    let path = match name {
        "pause" => "M8 5v14M16 5v14",
        "play" => "M7 4.5v15l12-7.5z",
        "step" => "M5 5v14l9-7zM18 5v14",
        "sun" => {
            "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2.5M12 19.5V22M4.9 4.9l1.8 1.8M17.3 17.3l1.8 1.8M2 12h2.5M19.5 12H22M4.9 19.1l1.8-1.8M17.3 6.7l1.8-1.8"
        }
        "moon" => "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
        "close" => "M6 6l12 12M18 6L6 18",
        "plus" => "M12 5v14M5 12h14",
        "minus" => "M5 12h14",
        "more" => "M5 12h.01M12 12h.01M19 12h.01",
        "trash" => "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
        "reset" => "M4 5v5h5M4.6 15a8 8 0 1 0 .9-8.6L4 10",
        "node" => "M4 6h16v5H4zM4 13h16v5H4zM7.5 8.5h.01M7.5 15.5h.01",
        "check" => "M5 12.5l4.5 4.5L19 7.5",
        _ => "",
    };
    html! {
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d={path} /></svg>
    }
}
