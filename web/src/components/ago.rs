//! How long ago something was, by the cluster's clock.

use yew::prelude::*;

use crate::hooks::use_now;

/// Properties of [`Ago`].
#[derive(Properties, PartialEq)]
pub struct Props {
    /// RFC 3339.
    pub at: AttrValue,
}

/// `12s`, `3m`, `2h`, `4d`.
#[component]
pub fn Ago(props: &Props) -> Html {
    let now = use_now(1_000);
    let then = js_sys::Date::parse(&props.at);
    if then.is_nan() {
        return html! {};
    }
    html! { <time class="ago" datetime={props.at.clone()}>{ short((now - then) / 1_000.0) }</time> }
}

/// Seconds as kubectl shortens them.
pub fn short(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn spans() {
        for (seconds, text) in [(-5.0, "0s"), (119.0, "119s"), (125.0, "2m"), (7_200.0, "2h"), (200_000.0, "2d")] {
            assert_eq!(super::short(seconds), text);
        }
    }
}
