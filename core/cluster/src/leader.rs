//! Leader election by Lease: of several control planes on one API only the one that holds the Lease acts. Durations and steps are
//! those of client-go, so a stock kube-controller-manager or kube-scheduler takes its turn with ours.
//!
//! <https://kubernetes.io/docs/concepts/architecture/leases/#leader-election>

use apiserver::{ApiServer, PatchKind, UserInfo, gvr};
use object::events::{EventType, EventWrite, Recorder};
use object::value::{i64_at, set, str_at};
use object::{GroupVersionResource, Time, Value, json};
use store::{Key, View};

/// How long a Lease holds after it was last renewed.
const LEASE_SECONDS: u64 = 15;
/// Who could not renew for so long stops acting.
const RENEW_DEADLINE_SECONDS: u64 = 10;
/// How often a Lease is renewed, or asked for.
const RETRY_SECONDS: u64 = 2;
const NAMESPACE: &str = "kube-system";
/// The same in every life of one control plane: it goes on at once where it was. The store is nobody else's.
const IDENTITY: &str = "wasmkube";

/// What a Lease says.
#[derive(Clone, Default, PartialEq)]
struct LeaseView {
    holder: String,
    seconds: u64,
    renewed: String,
}

impl View for LeaseView {
    fn of(lease: &Value) -> Self {
        LeaseView {
            holder: str_at(lease, &["spec", "holderIdentity"]).to_owned(),
            seconds: i64_at(lease, &["spec", "leaseDurationSeconds"])
                .and_then(|s| u64::try_from(s).ok())
                .unwrap_or(LEASE_SECONDS),
            renewed: str_at(lease, &["spec", "renewTime"]).to_owned(),
        }
    }
}

/// One candidate.
pub struct Leader {
    name: &'static str,
    user: UserInfo,
    recorder: Recorder,
    /// What the Lease said last, and when that was seen: other clocks do not count.
    observed: (LeaseView, Time),
    leads: bool,
    renewed: Time,
    next: Time,
}

impl Leader {
    /// A candidate for the Lease of this name, which is also its user's; `source` speaks of it.
    pub fn new(name: &'static str, source: &str) -> Self {
        Leader {
            name,
            user: UserInfo::new(&format!("system:{name}"), &[]),
            recorder: Recorder::new(source, ""),
            observed: (LeaseView::default(), Time(0)),
            leads: false,
            renewed: Time(0),
            next: Time(0),
        }
    }

    /// Whether it may act now; and when to ask again.
    pub fn leads(&mut self, api: &mut ApiServer, now: Time) -> (bool, Time) {
        if now >= self.next {
            let led = self.leads;
            if self.acquire_or_renew(api, now) {
                (self.leads, self.renewed) = (true, now);
            } else if self.leads {
                let lost = self.observed.0.holder != IDENTITY;
                self.leads = !lost && now.secs_since(self.renewed) < RENEW_DEADLINE_SECONDS;
            }
            self.next = now.plus_secs(RETRY_SECONDS);
            match (led, self.leads) {
                (false, true) => self.say(api, now, "became leader"),
                (true, false) => self.say(api, now, "stopped leading"),
                _ => {}
            }
        }
        (self.leads, self.next)
    }

    fn key(&self) -> Key {
        Key::new(&leases().group_resource(), NAMESPACE, self.name)
    }

    fn acquire_or_renew(&mut self, api: &mut ApiServer, now: Time) -> bool {
        let time = now.rfc3339_micros();
        let Some(stored) = api.store().get(&self.key()).cloned() else {
            let spec = json!({
                "holderIdentity": IDENTITY, "leaseDurationSeconds": LEASE_SECONDS, "acquireTime": time, "renewTime": time,
                "leaseTransitions": 0,
            });
            let metadata = json!({"name": self.name, "namespace": NAMESPACE});
            let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec});
            return api.client(now, &self.user).create(&leases(), NAMESPACE, lease).is_ok();
        };
        let view = stored.view::<LeaseView>();
        if self.observed.0 != *view {
            self.observed = (view.clone(), now);
        }
        let ours = view.holder == IDENTITY;
        let valid = self.observed.1.plus_secs(view.seconds) > now;
        if !ours && !view.holder.is_empty() && valid {
            return false;
        }
        let mut lease = stored.value();
        if !ours {
            let transitions = i64_at(&lease, &["spec", "leaseTransitions"]).unwrap_or(0);
            set(&mut lease, &["spec", "leaseTransitions"], transitions.saturating_add(1));
            set(&mut lease, &["spec", "acquireTime"], time.as_str());
            set(&mut lease, &["spec", "holderIdentity"], IDENTITY);
        }
        set(&mut lease, &["spec", "leaseDurationSeconds"], LEASE_SECONDS);
        set(&mut lease, &["spec", "renewTime"], time);
        api.client(now, &self.user).update(&leases(), NAMESPACE, self.name, lease).is_ok()
    }

    fn say(&mut self, api: &mut ApiServer, now: Time, what: &str) {
        let Some(lease) = api.store().get(&self.key()).map(|lease| lease.value()) else { return };
        let message = format!("{IDENTITY} {what}");
        let events = gvr("", "v1", "events");
        // An event that cannot be written is lost.
        let _ = match self.recorder.event(now, &lease, EventType::Normal, "LeaderElection", &message) {
            Some(EventWrite::Create(event)) => api.client(now, &self.user).create(&events, NAMESPACE, event),
            Some(EventWrite::Patch { namespace, name, patch }) => {
                api.client(now, &self.user).patch(&events, &namespace, &name, "", PatchKind::Merge, patch)
            }
            None => return,
        };
    }
}

fn leases() -> GroupVersionResource {
    gvr("coordination.k8s.io", "v1", "leases")
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::GroupResource;

    fn holder(api: &ApiServer, name: &str) -> Option<(String, i64)> {
        let key = Key::new(&GroupResource::literal("coordination.k8s.io", "leases"), NAMESPACE, name);
        let lease = api.store().get(&key)?.value();
        Some((str_at(&lease, &["spec", "holderIdentity"]).to_owned(), i64_at(&lease, &["spec", "leaseTransitions"])?))
    }

    fn give(api: &mut ApiServer, now: Time, to: &str) {
        let admin = UserInfo::new("admin", &["system:masters"]);
        let patch = json!({"spec": {"holderIdentity": to, "renewTime": now.rfc3339_micros()}});
        let name = "kube-scheduler";
        api.client(now, &admin).patch(&leases(), NAMESPACE, name, "", PatchKind::Merge, patch).expect("it is an administrator");
    }

    #[test]
    fn one_acts_at_a_time() {
        let mut api = ApiServer::new(apiserver::Settings::default());
        let start = Time::from_secs(1_795_000_000);
        api.start(start, 0);
        let mut ours = Leader::new("kube-scheduler", "default-scheduler");
        assert_eq!(ours.leads(&mut api, start), (true, start.plus_secs(2)), "a Lease that is not there is taken at once");
        let mut again = Leader::new("kube-scheduler", "default-scheduler");
        assert!(again.leads(&mut api, start.plus_secs(1)).0, "the next life goes on at once");

        give(&mut api, start.plus_secs(3), "other");
        assert!(!ours.leads(&mut api, start.plus_secs(4)).0, "somebody else has it");
        give(&mut api, start.plus_secs(10), "other");
        assert!(!ours.leads(&mut api, start.plus_secs(20)).0, "and renews it");
        assert!(!ours.leads(&mut api, start.plus_secs(34)).0, "what was seen last is not fifteen seconds old");
        assert!(ours.leads(&mut api, start.plus_secs(36)).0, "it has not renewed it for too long");
        assert_eq!(holder(&api, "kube-scheduler"), Some((IDENTITY.to_owned(), 1)));
        give(&mut api, start.plus_secs(37), "");
        assert!(ours.leads(&mut api, start.plus_secs(38)).0, "nobody's is taken");
        let events = GroupResource::literal("", "events");
        let events = api.store().list(&events, None).map(|event| event.value());
        let said: Vec<String> = events.map(|event| str_at(&event, &["message"]).to_owned()).collect();
        assert!(said.contains(&"wasmkube became leader".to_owned()) && said.contains(&"wasmkube stopped leading".to_owned()));
        assert_eq!(api.denials().count(), 0);
    }
}
