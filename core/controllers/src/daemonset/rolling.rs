//! Replacing daemons of older templates, within `maxUnavailable`, or beside the old ones within `maxSurge`.
//!
//! <https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/>

use std::sync::Arc;

use object::Result;
use object::value::{at, str_at};
use store::Object;

use super::{Work, lives};
use crate::context::Context;
use crate::pod::PodView;

/// The daemons of one node that are not on their way out: of the newest template and of others.
struct Pair {
    new: Option<Arc<Object>>,
    old: Option<Arc<Object>>,
}

impl Work<'_> {
    fn strategy(&self, key: &str) -> usize {
        let of = i64::try_from(self.nodes.values().filter(|fit| fit.runs).count()).unwrap_or(0);
        let value = at(self.set, &["spec", "updateStrategy", "rollingUpdate", key]);
        let number = value.map_or(0, |value| match value.as_str().and_then(|text| text.strip_suffix('%')) {
            Some(percent) => (percent.parse::<i64>().unwrap_or(0).saturating_mul(of) + 99) / 100,
            None => value.as_i64().unwrap_or(0),
        });
        usize::try_from(number).unwrap_or(0)
    }

    fn is_on_delete(&self) -> bool {
        str_at(self.set, &["spec", "updateStrategy", "type"]) == "OnDelete"
    }

    /// Whether new daemons come before the old ones go.
    fn surges(&self) -> bool {
        let surge = at(self.set, &["spec", "updateStrategy", "rollingUpdate", "maxSurge"]);
        !self.is_on_delete() && surge.is_some_and(|surge| *surge != 0 && surge.as_str() != Some("0%"))
    }

    /// Of several daemons on a node, oldest first, those that have to go: all but the oldest; while they are replaced, one old
    /// and one new may be there as long as the old one serves and the new one does not yet.
    pub fn too_many(&self, cx: &Context<'_>, good: Vec<Arc<Object>>) -> Vec<Arc<Object>> {
        if !self.surges() {
            return good.into_iter().skip(1).collect();
        }
        let (mut new, mut old, mut out) = (None, None, Vec::new());
        for pod in good {
            let place = if self.is_new(&pod) { &mut new } else { &mut old };
            if place.is_none() { *place = Some(pod) } else { out.push(pod) }
        }
        if let (Some(new), Some(old)) = (new, old)
            && (!old.view::<PodView>().ready || self.is_available(cx, &new))
        {
            out.push(old);
        }
        out
    }

    /// The daemons of a node; `None` if there are two of a kind, which others look after.
    fn pair(&self, pods: &[Arc<Object>]) -> Option<Pair> {
        let mut pair = Pair { new: None, old: None };
        for pod in pods.iter().filter(|pod| lives(pod)) {
            let place = if self.is_new(pod) { &mut pair.new } else { &mut pair.old };
            if place.replace(pod.clone()).is_some() {
                return None;
            }
        }
        Some(pair)
    }

    /// Replaces daemons of older templates, as far as the strategy allows now.
    pub fn roll(&self, cx: &mut Context<'_>) -> Result<()> {
        if self.is_on_delete() {
            return Ok(());
        }
        match self.strategy("maxSurge") {
            0 => self.roll_by_deleting(cx, self.strategy("maxUnavailable").max(1)),
            surge => self.roll_by_surging(cx, surge),
        }
    }

    fn roll_by_deleting(&self, cx: &mut Context<'_>, most: usize) -> Result<()> {
        let (mut unavailable, mut out, mut candidates) = (0, Vec::new(), Vec::new());
        for pods in self.on_node.values() {
            match self.pair(pods) {
                Some(Pair { new: Some(new), old: None }) => unavailable += usize::from(!self.is_available(cx, &new)),
                Some(Pair { new: None, old: Some(old) }) if self.is_available(cx, &old) => candidates.push(old),
                // One that does not serve anyway is no loss.
                Some(Pair { new: None, old: Some(old) }) => out.push(old),
                _ => unavailable += 1,
            }
        }
        out.extend(candidates.into_iter().take(most.saturating_sub(unavailable)));
        self.sync(cx, &out, &[])
    }

    fn roll_by_surging(&self, cx: &mut Context<'_>, surge: usize) -> Result<()> {
        let (mut surging, mut out, mut allowed, mut candidates, mut misplaced) =
            (0, Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (node, pods) in &self.on_node {
            match self.pair(pods) {
                None => surging += 1,
                Some(Pair { old: None, .. }) => {}
                Some(Pair { new: Some(new), old: Some(old) }) => match self.is_available(cx, &new) {
                    true => out.push(old),
                    false => surging += 1,
                },
                Some(Pair { new: None, old: Some(old) }) => {
                    let runs = self.nodes.get(node.as_str()).is_some_and(|fit| fit.runs);
                    match (runs, self.is_available(cx, &old)) {
                        // No new one can come where none should be: the old one goes by itself.
                        (false, _) => misplaced.push(old),
                        (true, false) => allowed.push(node.clone()),
                        (true, true) => candidates.push(node.clone()),
                    }
                }
            }
        }
        let mut room = surge.saturating_sub(surging);
        let going = misplaced.len().min(room);
        out.extend(misplaced.into_iter().take(going));
        room -= going;
        allowed.extend(candidates.into_iter().take(room));
        self.sync(cx, &out, &allowed)
    }
}
