//! Deployments and Services in short, above the picture.

use yew::platform::spawn_local;
use yew::prelude::*;

use super::icon::icon;
use crate::model::{Service, Workload};
use crate::picture::colour;
use crate::services::api;
use crate::state::{Action, Kind, Selection, State};

/// Properties of [`Summary`].
#[derive(Properties, PartialEq)]
pub struct Props {
    pub state: UseReducerHandle<State>,
}

/// A row of cards.
#[component]
pub fn Summary(props: &Props) -> Html {
    let state = &props.state;
    let own = |service: &&std::rc::Rc<Service>| service.metadata.name != "kubernetes";
    let services: Vec<_> = state.services.values().filter(own).collect();
    if state.deployments.is_empty() && services.is_empty() {
        return html! {
            <div class="summary empty">
                <p>{ "An empty cluster. Apply the manifest in the editor and watch it come to life." }</p>
            </div>
        };
    }
    html! {
        <div class="summary">
            { for state.deployments.iter().map(|(id, deployment)| card(state, id, deployment)) }
            if !services.is_empty() {
                <ul class="services" aria-label="Services">
                    { for services.iter().map(|service| chip(state, service)) }
                </ul>
            }
        </div>
    }
}

fn card(state: &UseReducerHandle<State>, id: &str, deployment: &Workload) -> Html {
    let (status, wanted) = (&deployment.status, deployment.spec.replicas);
    let select = {
        let (dispatch, id) = (state.dispatcher(), std::rc::Rc::<str>::from(id));
        Callback::from(move |_: MouseEvent| {
            dispatch.dispatch(Action::Select(Selection { kind: Kind::Deployment, id: id.clone() }))
        })
    };
    let scale = |to: u32| {
        let path = Kind::Deployment.object_path(id);
        Callback::from(move |_: MouseEvent| {
            let path = path.clone();
            spawn_local(async move { drop(api::patch(&path, &serde_json::json!({"spec": {"replicas": to}})).await) });
        })
    };
    let name = &deployment.metadata.name;
    html! {
        <article class={classes!("card", format!("owner-{}", colour(state, &format!("Deployment {id}"))))} key={id}>
            <div class="card-head">
                <button type="button" class="card-name" onclick={select}><span class="swatch" />{ name }</button>
                <span class="card-image">{ deployment.images() }</span>
            </div>
            { bar(state, deployment) }
            <div class="card-foot">
                <span class={classes!("rollout", progress(deployment).1)}>{ progress(deployment).0 }</span>
                <span class="scale">
                    <button type="button" aria-label={format!("Fewer pods of {name}")} disabled={wanted == 0} onclick={scale(wanted.saturating_sub(1))}>{ icon("minus") }</button>
                    <span class="scale-count"><b>{ status.ready_replicas }</b>{ format!("/{wanted}") }</span>
                    <button type="button" aria-label={format!("More pods of {name}")} onclick={scale(wanted + 1)}>{ icon("plus") }</button>
                </span>
            </div>
        </article>
    }
}

/// Ready pods of the newest revision, ready pods of older ones, and what is missing.
fn bar(state: &State, deployment: &Workload) -> Html {
    let history = state.history(deployment);
    let current = deployment.revision();
    let ready = |new: bool| -> u32 {
        history.iter().filter(|set| (set.revision() == current) == new).map(|set| set.status.ready_replicas).sum()
    };
    let (new, old) = (ready(true), ready(false));
    let wide = deployment.spec.replicas.max(new + old).max(1);
    let share = |count: u32| format!("--share:{:.4}", f64::from(count) / f64::from(wide));
    html! {
        <div class="bar" role="img" aria-label={format!("{new} ready, {old} ready of older revisions, {} wanted", deployment.spec.replicas)}>
            <span class="bar-new" style={share(new)} />
            <span class="bar-old" style={share(old)} />
        </div>
    }
}

/// Where the rollout stands, in words, and its CSS class.
fn progress(deployment: &Workload) -> (String, &'static str) {
    let (status, wanted) = (&deployment.status, deployment.spec.replicas);
    let stuck = status.conditions.iter().any(|c| c.kind == "Progressing" && c.reason == "ProgressDeadlineExceeded");
    if deployment.spec.paused {
        ("Paused".to_owned(), "busy")
    } else if stuck {
        ("Stuck: progress deadline exceeded".to_owned(), "bad")
    } else if status.updated_replicas < wanted {
        (format!("Rollout: {}/{wanted} updated", status.updated_replicas), "busy")
    } else if status.replicas > status.updated_replicas {
        (format!("Rollout: {} old left", status.replicas - status.updated_replicas), "busy")
    } else if status.available_replicas < wanted {
        (format!("{} of {wanted} available", status.available_replicas), "busy")
    } else {
        (format!("Revision {} complete", deployment.revision().max(1)), "good")
    }
}

fn chip(state: &State, service: &Service) -> Html {
    let ports: Vec<_> = service.spec.ports.iter().map(|port| port.port.to_string()).collect();
    let ready = state.endpoints(service);
    let title = format!("{} on {}:{}", service.metadata.name, service.spec.cluster_ip, ports.join(","));
    html! {
        <li class="service" {title} key={&*service.metadata.id()}>
            <span class="service-kind">{ "svc" }</span>
            <span class="service-name">{ &service.metadata.name }</span>
            <span class="service-address">{ format!("{}:{}", service.spec.cluster_ip, ports.join(",")) }</span>
            <span class={classes!("service-ends", (ready == 0).then_some("none"))}>{ format!("→ {ready}") }</span>
        </li>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollouts_in_words() {
        let deployment = |replicas: u32, total: u32, updated: u32, available: u32| {
            let mut workload = Workload::default();
            workload.spec.replicas = replicas;
            workload.status.replicas = total;
            workload.status.updated_replicas = updated;
            workload.status.available_replicas = available;
            workload
        };
        for (case, words) in [
            (deployment(3, 4, 1, 3), "Rollout: 1/3 updated"),
            (deployment(3, 4, 3, 3), "Rollout: 1 old left"),
            (deployment(3, 3, 3, 2), "2 of 3 available"),
            (deployment(3, 3, 3, 3), "Revision 1 complete"),
        ] {
            assert_eq!(progress(&case).0, words);
        }
    }
}
