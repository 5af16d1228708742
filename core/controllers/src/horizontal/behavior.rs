//! How fast an autoscaler may go: recent recommendations hold it back, and policies bound each step.
//!
//! <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior>

use object::value::{at, i64_at, list_at, str_at};
use object::{Time, Value};

/// How long the highest of the recommendations counts for scaling down.
const DOWN_SECONDS: i64 = 300;

/// The longest that anything here is remembered: the longest window and period that the API takes.
const REMEMBERED_SECONDS: u64 = 3600;

/// How far from 1 a ratio may be without consequences.
const TOLERANCE: f64 = 0.1;

/// The ratios that change nothing: down to the first, up to the second.
pub fn tolerance(autoscaler: &Value) -> (f64, f64) {
    let of = |direction: &str| {
        let stated =
            at(autoscaler, &["spec", "behavior", direction, "tolerance"]).and_then(object::quantity::Quantity::from_json);
        stated.map_or(TOLERANCE, |quantity| quantity.as_f64())
    };
    (1.0 - of("scaleDown"), 1.0 + of("scaleUp"))
}

/// What has been recommended and done lately.
#[derive(Default)]
pub struct History {
    recommended: Vec<(Time, i64)>,
    /// Replicas added, and taken away, each with its time.
    added: Vec<(Time, i64)>,
    taken: Vec<(Time, i64)>,
}

/// From how many to how many, and between which bounds.
#[derive(Clone, Copy)]
pub struct Limits {
    /// There are so many.
    pub current: i64,
    /// There should be so many.
    pub wanted: i64,
    /// But not fewer,
    pub least: i64,
    /// and not more.
    pub most: i64,
}

/// Reason and message of a condition.
type Words = (&'static str, &'static str);

/// What may be done.
pub struct Verdict {
    /// So many there are to be.
    pub replicas: i64,
    /// What recent recommendations have to say.
    pub stabilized: Words,
    /// Whether a bound was met.
    pub is_limited: bool,
    /// Which.
    pub limited: Words,
}

const READY: Words = ("ReadyForNewScale", "recommended size matches current size");
const HELD_UP: Words =
    ("ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation");
const HELD_DOWN: Words =
    ("ScaleDownStabilized", "recent recommendations were higher than current one, applying the highest recent recommendation");
const WITHIN: Words = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_FEW: Words = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const TOO_MANY: Words = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FAST_UP: Words = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const TOO_FAST_DOWN: Words = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");

impl History {
    /// The first look at a target: what there is counts as recommended.
    pub fn begin(&mut self, now: Time, current: i64) {
        if self.recommended.is_empty() {
            self.recommended.push((now, current));
        }
    }

    /// A step was taken.
    pub fn scaled(&mut self, now: Time, autoscaler: &Value, from: i64, to: i64) {
        if at(autoscaler, &["spec", "behavior"]).is_some_and(Value::is_object) {
            let steps = if to > from { &mut self.added } else { &mut self.taken };
            steps.push((now, (to - from).abs()));
        }
    }

    /// What may be done about `limits.wanted`, which is remembered as a recommendation.
    pub fn normalize(&mut self, now: Time, autoscaler: &Value, mut limits: Limits) -> Verdict {
        for list in [&mut self.recommended, &mut self.added, &mut self.taken] {
            list.retain(|(time, _)| now.secs_since(*time) < REMEMBERED_SECONDS);
        }
        let wanted = limits.wanted;
        let behavior = at(autoscaler, &["spec", "behavior"]).filter(|behavior| behavior.is_object());
        let stable = match behavior {
            None => {
                let recent = self.recommended.iter().filter(|(time, _)| (now.secs_since(*time) as i64) < DOWN_SECONDS);
                recent.map(|(_, number)| *number).fold(wanted, i64::max)
            }
            Some(behavior) => self.stabilized(now, behavior, limits),
        };
        self.recommended.push((now, wanted));
        let stabilized = match behavior {
            _ if stable == wanted => READY,
            Some(_) if wanted >= limits.current => HELD_UP,
            _ => HELD_DOWN,
        };
        limits.wanted = stable;
        let (replicas, limited) = match behavior {
            None => by_default(limits),
            Some(behavior) => self.by_policies(now, behavior, limits),
        };
        Verdict { replicas, stabilized, is_limited: replicas != stable, limited }
    }

    fn stabilized(&self, now: Time, behavior: &Value, limits: Limits) -> i64 {
        let within = |direction: &str, or: i64| {
            let window = i64_at(behavior, &[direction, "stabilizationWindowSeconds"]).unwrap_or(or);
            let recent = self.recommended.iter().filter(move |(time, _)| (now.secs_since(*time) as i64) < window);
            recent.map(|(_, number)| *number)
        };
        let up = within("scaleUp", 0).fold(limits.wanted, i64::min);
        let down = within("scaleDown", DOWN_SECONDS).fold(limits.wanted, i64::max);
        limits.current.max(up).min(down)
    }

    fn by_policies(&self, now: Time, behavior: &Value, limits: Limits) -> (i64, Words) {
        let Limits { current, wanted, least, most } = limits;
        if wanted > current {
            let limit = self.up(now, &behavior["scaleUp"], current).max(current);
            let (allowed, words) = if most > limit { (limit, TOO_FAST_UP) } else { (most, TOO_MANY) };
            if wanted > allowed {
                return (allowed, words);
            }
        } else if wanted < current {
            let limit = self.down(now, &behavior["scaleDown"], current).min(current);
            let (allowed, words) = if least < limit { (limit, TOO_FAST_DOWN) } else { (least, TOO_FEW) };
            if wanted < allowed {
                return (allowed, words);
            }
        }
        (wanted, WITHIN)
    }

    /// How many there were when a policy's period began.
    fn before(&self, now: Time, policy: &Value, current: i64) -> i64 {
        let period = i64_at(policy, &["periodSeconds"]).unwrap_or(0);
        let sum = |steps: &[(Time, i64)]| -> i64 {
            let recent = steps.iter().filter(|(time, _)| (now.secs_since(*time) as i64) < period);
            recent.map(|(_, number)| *number).sum()
        };
        current - sum(&self.added) + sum(&self.taken)
    }

    fn up(&self, now: Time, rules: &Value, current: i64) -> i64 {
        let proposals = list_at(rules, &["policies"]).iter().map(|policy| {
            let (before, value) = (self.before(now, policy, current), i64_at(policy, &["value"]).unwrap_or(0));
            match str_at(policy, &["type"]) {
                "Pods" => before + value,
                _ => (before as f64 * (1.0 + value as f64 / 100.0)).ceil() as i64,
            }
        });
        match str_at(rules, &["selectPolicy"]) {
            "Disabled" => current,
            "Min" => proposals.min().unwrap_or(i64::from(i32::MAX)),
            _ => proposals.max().unwrap_or(current),
        }
    }

    fn down(&self, now: Time, rules: &Value, current: i64) -> i64 {
        let proposals = list_at(rules, &["policies"]).iter().map(|policy| {
            let (before, value) = (self.before(now, policy, current), i64_at(policy, &["value"]).unwrap_or(0));
            match str_at(policy, &["type"]) {
                "Pods" => before - value,
                _ => (before as f64 * (1.0 - value as f64 / 100.0)) as i64,
            }
        });
        match str_at(rules, &["selectPolicy"]) {
            "Disabled" => current,
            "Min" => proposals.max().unwrap_or(0),
            _ => proposals.min().unwrap_or(current),
        }
    }
}

/// Without a behaviour: at most twice as many at a time, or four.
fn by_default(Limits { current, wanted, least, most }: Limits) -> (i64, Words) {
    let rate = (2 * current).max(4);
    let (allowed, words) = if most > rate { (rate, TOO_FAST_UP) } else { (most, TOO_MANY) };
    if wanted < least {
        (least, TOO_FEW)
    } else if wanted > allowed {
        (allowed, words)
    } else {
        (wanted, WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use object::json;

    use super::*;

    fn limits(current: i64, wanted: i64) -> Limits {
        Limits { current, wanted, least: 1, most: 20 }
    }

    #[test]
    fn without_a_behaviour() {
        let autoscaler = json!({"spec": {}});
        let start = Time::from_secs(1000);
        let mut history = History::default();
        history.begin(start, 3);
        let mut at = |seconds: u64, current, wanted| {
            let verdict = history.normalize(start.plus_secs(seconds), &autoscaler, limits(current, wanted));
            (verdict.replicas, verdict.stabilized.0, verdict.limited.0)
        };
        assert_eq!(at(0, 3, 10), (6, "ReadyForNewScale", "ScaleUpLimit"), "twice as many at most");
        assert_eq!(at(15, 6, 30), (12, "ReadyForNewScale", "ScaleUpLimit"));
        assert_eq!(at(30, 12, 30), (20, "ReadyForNewScale", "TooManyReplicas"));
        assert_eq!(at(45, 20, 2), (20, "ScaleDownStabilized", "TooManyReplicas"), "30 was recommended a moment ago");
        assert_eq!(at(345, 20, 2), (2, "ReadyForNewScale", "DesiredWithinRange"), "five minutes later it is not");
        assert_eq!(at(700, 2, 0), (1, "ReadyForNewScale", "TooFewReplicas"));
    }

    #[test]
    fn policies_bound_a_step() {
        let behavior = json!({
            "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": 15}, {"type": "Pods", "value": 4, "periodSeconds": 15}]},
            "scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Min", "policies": [
                {"type": "Pods", "value": 2, "periodSeconds": 60}, {"type": "Percent", "value": 50, "periodSeconds": 60}]},
        });
        let autoscaler = json!({"spec": {"behavior": behavior}});
        let start = Time::from_secs(1000);
        let mut history = History::default();
        history.begin(start, 2);
        let mut at = |seconds: u64, current, wanted| {
            let now = start.plus_secs(seconds);
            let verdict = history.normalize(now, &autoscaler, limits(current, wanted));
            if verdict.replicas != current {
                history.scaled(now, &autoscaler, current, verdict.replicas);
            }
            (verdict.replicas, verdict.stabilized.0, verdict.limited.0)
        };
        assert_eq!(at(0, 2, 15), (6, "ReadyForNewScale", "ScaleUpLimit"), "four more are more than twice as many");
        assert_eq!(at(10, 6, 15), (6, "ReadyForNewScale", "ScaleUpLimit"), "the period is not over");
        assert_eq!(at(20, 6, 15), (12, "ReadyForNewScale", "ScaleUpLimit"));
        assert_eq!(at(40, 12, 1), (12, "ScaleDownStabilized", "DesiredWithinRange"));
        assert_eq!(at(90, 12, 1), (10, "ReadyForNewScale", "ScaleDownLimit"), "the policy that takes fewer");
        assert_eq!(at(120, 10, 1), (10, "ReadyForNewScale", "ScaleDownLimit"));
    }

    #[test]
    fn a_direction_can_be_closed() {
        let autoscaler = json!({"spec": {"behavior": {"scaleUp": {"selectPolicy": "Disabled", "policies": []}}}});
        let mut history = History::default();
        let verdict = history.normalize(Time::from_secs(1), &autoscaler, limits(3, 9));
        assert_eq!((verdict.replicas, verdict.limited.0), (3, "ScaleUpLimit"));
    }
}
