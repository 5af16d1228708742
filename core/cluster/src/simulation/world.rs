//! One run: everything that happens, in the order of virtual time.

use std::collections::BTreeMap;

use object::Time;

use super::Sabotage;
use super::check::{Checker, Violation};
use super::http::{Post, Reply};
use super::network::{Arrival, Network, Noise, Party};
use super::node::Machine;
use super::plane::{Durable, Plane};
use super::reflector::Reflector;
use super::script::{Action, Script};
use super::user::Users;
use super::watched::Watched;
use crate::driver::EPOCH;
use crate::wire::{ClientCertificate, Config, Input, Request};

/// So long after the last step everything must have come to rest, in seconds.
const PATIENCE_SECONDS: u64 = 1_800;
/// How often it is looked whether everything is at rest.
const LOOK_MILLIS: u64 = 2_000;
/// So long it is watched whether it stays so.
const QUIET_SECONDS: u64 = 12;
/// So many steps of the control plane a run may take, and so many changes; most take some hundreds.
const MAX_STEPS: u64 = 10_000;
const MAX_CHANGES: u64 = 5_000;
/// More rounds than this without time passing mean that something turns in circles.
const MAX_ROUNDS: u64 = 20_000;

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was violated first, if anything was.
    pub violation: Option<Violation>,
    /// Steps of the control plane.
    pub steps: u64,
    /// Revisions written.
    pub revisions: u64,
    /// Virtual milliseconds.
    pub millis: u64,
    /// Operations of users that were done, refused, and tried too often.
    pub operations: [u64; 3],
    /// Faults by their names.
    pub faults: BTreeMap<&'static str, u64>,
    /// How often each invariant was looked at, in the order of the table.
    pub checks: Vec<u64>,
    /// What users were refused, and why.
    pub refusals: Vec<String>,
    /// What happened, if it was asked for.
    pub story: Vec<String>,
}

/// What comes back later.
#[derive(Debug)]
enum Return {
    Plane,
    Kubelet(u32),
    Power(u32, i64),
}

/// A run under way.
pub struct World<'a> {
    script: &'a Script,
    now: Time,
    plane: Plane,
    network: Network,
    machines: Vec<Machine>,
    users: Users,
    watchers: Vec<(Reflector, Watched, super::http::Outbox)>,
    checker: Checker,
    returns: BTreeMap<(Time, u64), Return>,
    sequence: u64,
    outcome: Outcome,
    tell: bool,
}

impl<'a> World<'a> {
    /// The world before the first step.
    pub fn new(script: &'a Script, genesis: &Durable, sabotage: Option<Sabotage>, tell: bool) -> Self {
        let config =
            Config { seed: script.seed, history_limit: script.history_limit, allocate_node_cidrs: true, ..Config::default() };
        let mut world = World {
            script,
            now: EPOCH,
            plane: Plane::new(config, genesis.clone(), script.seed ^ 0x706c_616e),
            network: Network::new(script.seed),
            machines: (0..script.nodes).map(|index| Machine::new(script.seed, index)).collect(),
            users: Users::default(),
            watchers: Watched::all(script.seed)
                .into_iter()
                .map(|w| (Reflector::new(w.target()), w, Default::default()))
                .collect(),
            checker: Checker::new(sabotage),
            returns: BTreeMap::new(),
            sequence: 0,
            outcome: Outcome::default(),
            tell,
        };
        match sabotage {
            Some(Sabotage::ForgetfulJournal) => world.plane.forgetful = true,
            Some(Sabotage::SwallowedEvents) => world.network.swallow = 5,
            Some(Sabotage::LyingNode) => world.machines.iter_mut().for_each(|m| m.keeps_running = true),
            _ => {}
        }
        world
    }

    /// Runs to the end.
    pub fn run(mut self) -> Outcome {
        let violation = self.live().err();
        self.outcome.violation = violation;
        self.outcome.millis = self.now.millis_since(EPOCH);
        self.outcome.operations = [self.users.done, self.users.refused, self.users.given_up];
        self.outcome.refusals = std::mem::take(&mut self.users.refusals);
        let counts = &self.network.counts;
        for (name, count) in [("lost-message", counts.lost), ("doubled-message", counts.twice), ("broken-stream", counts.broken)]
        {
            self.outcome.faults.insert(name, count);
        }
        self.outcome.checks = self.checker.counts().to_vec();
        self.outcome.revisions = self.checker.revisions();
        self.outcome
    }

    fn live(&mut self) -> Result<(), Violation> {
        self.plane.start(self.now);
        self.started()?;
        self.machines.iter_mut().for_each(|machine| machine.start(EPOCH));
        let script = self.script;
        for step in &script.steps {
            self.until(EPOCH.plus_millis(step.at))?;
            self.act(&step.action)?;
        }
        self.come_to_rest()
    }

    /// Nothing fails any more: everything must become as it should be, and stay so.
    fn come_to_rest(&mut self) -> Result<(), Violation> {
        self.heal()?;
        let end = self.now.plus_secs(PATIENCE_SECONDS);
        let mut at_rest_since: Option<(Time, u64)> = None;
        loop {
            let restless = self.restless();
            match (&restless, at_rest_since) {
                (None, None) => at_rest_since = Some((self.now, self.checker.essential_writes())),
                // Something was still going on, and may end yet.
                (None, Some((_, writes))) if writes != self.checker.essential_writes() => at_rest_since = None,
                (None, Some((since, _))) if self.now.secs_since(since) >= QUIET_SECONDS => return self.checker.at_rest(),
                (None, Some(_)) => {}
                (Some(_), _) => at_rest_since = None,
            }
            if self.now >= end {
                let (name, what) = restless.unwrap_or_else(|| ("nothing-turns-in-circles", self.checker.last_write()));
                return Err(self.checker.violation(name, what));
            }
            self.until(self.now.plus_millis(LOOK_MILLIS))?;
        }
    }

    fn restless(&mut self) -> Option<(&'static str, String)> {
        if self.users.busy() {
            return Some(("users-are-answered", "users still wait".to_owned()));
        }
        let store = self.plane.cluster()?.api()?.store();
        self.checker.restless(store, &self.machines, self.watchers.iter().map(|(_, watched, _)| watched))
    }

    fn heal(&mut self) -> Result<(), Violation> {
        self.network.heal();
        self.plane.slow_down(0, self.now);
        for (_, what) in std::mem::take(&mut self.returns) {
            self.come_back(what)?;
        }
        Ok(())
    }

    /// Lets everything happen up to this time.
    fn until(&mut self, end: Time) -> Result<(), Violation> {
        let mut rounds = 0u64;
        loop {
            let next = self.next_time().max(self.now);
            if next > end {
                self.now = end;
                return Ok(());
            }
            rounds = if next > self.now { 0 } else { rounds + 1 };
            if rounds > MAX_ROUNDS {
                return Err(self.checker.violation("nothing-turns-in-circles", "time does not pass".to_owned()));
            }
            self.now = next;
            self.round()?;
        }
    }

    fn next_time(&self) -> Time {
        let machines = self.machines.iter().filter_map(Machine::wake);
        let watchers = self.watchers.iter().filter_map(|(reflector, ..)| reflector.wake());
        let returns = self.returns.first_key_value().map(|((at, _), _)| *at);
        let own = [self.plane.wake(self.now), self.network.next(), self.users.wake(), returns];
        machines.chain(watchers).chain(own.into_iter().flatten()).min().unwrap_or(Time(u64::MAX))
    }

    /// What is due now.
    fn round(&mut self) -> Result<(), Violation> {
        while let Some(entry) = self.returns.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let what = entry.remove();
            self.come_back(what)?;
        }
        while let Some(arrival) = self.network.arrived(self.now) {
            self.arrive(arrival)?;
        }
        self.users.run(self.now);
        for (reflector, _, out) in &mut self.watchers {
            reflector.run(self.now, out);
        }
        for machine in &mut self.machines {
            if machine.wake().is_some_and(|at| at <= self.now) {
                machine.run(self.now);
                self.checker.machine(machine)?;
            }
        }
        self.send_all();
        let (leaving, stepped) = self.plane.run(self.now);
        for output in leaving {
            if let crate::wire::Output::Respond { status: 200 | 201, body, .. } = &output {
                self.checker.answered(body, self.plane.durable.revision)?;
            }
            self.network.leave(self.now, output);
        }
        if stepped {
            self.outcome.steps += 1;
            self.look()?;
            if self.outcome.steps > MAX_STEPS || self.checker.essential_writes() > MAX_CHANGES {
                return Err(self.checker.violation("nothing-turns-in-circles", self.checker.last_write()));
            }
        }
        Ok(())
    }

    /// Looks at what the control plane has just done.
    fn look(&mut self) -> Result<(), Violation> {
        let Some(api) = self.plane.cluster().and_then(crate::Cluster::api) else { return Ok(()) };
        let told = self.checker.step(api, self.tell)?;
        if self.tell {
            let millis = self.now.millis_since(EPOCH);
            self.outcome.story.extend(told.into_iter().map(|line| format!("{millis:>8} {line}")));
        }
        Ok(())
    }

    fn started(&mut self) -> Result<(), Violation> {
        let Some(api) = self.plane.cluster().and_then(crate::Cluster::api) else { return Ok(()) };
        self.checker.started(api.store(), self.plane.durable.revision)?;
        self.look()
    }

    fn arrive(&mut self, arrival: Arrival) -> Result<(), Violation> {
        match arrival {
            Arrival::Request { party, post, unanswered } => {
                let up = self.plane.cluster().is_some();
                if let Some(stream) = self.network.open(self.now, party, post.id, unanswered, up) {
                    self.plane.push(Input::Request(self.request(party, stream, post)));
                }
            }
            Arrival::Reply { party, id, reply } => match party {
                Party::Users => self.users.reply(self.now, id, &reply),
                Party::Node(index) => {
                    let Some(machine) = self.machines.get_mut(index as usize) else { return Ok(()) };
                    machine.reply(self.now, id, &reply);
                    machine.run(self.now);
                    self.checker.machine(machine)?;
                }
                Party::Watcher(index) => return self.watcher_reply(index as usize, id, &reply),
            },
        }
        Ok(())
    }

    fn watcher_reply(&mut self, index: usize, id: u64, reply: &Reply) -> Result<(), Violation> {
        let Some((reflector, watched, _)) = self.watchers.get_mut(index) else { return Ok(()) };
        if reflector.waits_for() != Some(id) {
            return Ok(());
        }
        let mut news = Vec::new();
        reflector.reply(self.now, reply, &mut |n| news.push(n));
        news.into_iter().try_for_each(|n| self.checker.watch(watched, n))
    }

    fn request(&self, party: Party, stream: u64, post: Post) -> Request {
        let (name, group) = match party {
            Party::Node(index) => (format!("system:node:node-{index}"), "system:nodes"),
            Party::Users => ("admin".to_owned(), "system:masters"),
            Party::Watcher(_) => ("watcher".to_owned(), "system:masters"),
        };
        let agent = match party {
            Party::Node(_) => "kubelet",
            _ => "kubectl",
        };
        Request {
            stream,
            method: post.method.to_owned(),
            target: post.target,
            headers: vec![("content-type".to_owned(), post.content_type.to_owned()), ("user-agent".to_owned(), agent.to_owned())],
            body: post.body,
            certificate: Some(ClientCertificate { common_name: name, organizations: vec![group.to_owned()] }),
            peer: String::new(),
        }
    }

    fn send_all(&mut self) {
        let users = (Party::Users, &mut self.users.out);
        let nodes = (0..).map(Party::Node).zip(self.machines.iter_mut().map(|machine| &mut machine.out));
        let watchers = (0..).map(Party::Watcher).zip(self.watchers.iter_mut().map(|(_, _, out)| out));
        for (party, out) in std::iter::once(users).chain(nodes).chain(watchers) {
            for post in out.posts.drain(..) {
                self.network.send(self.now, party, post);
            }
            for id in out.closed.drain(..) {
                if let Some(stream) = self.network.close(party, id) {
                    self.plane.push(Input::Closed(stream));
                }
            }
        }
    }

    fn come_back_at(&mut self, millis: u64, what: Return) {
        self.sequence += 1;
        self.returns.insert((self.now.plus_millis(millis), self.sequence), what);
    }

    fn come_back(&mut self, what: Return) -> Result<(), Violation> {
        match what {
            Return::Plane => {
                if self.plane.cluster().is_none() {
                    self.plane.start(self.now);
                    return self.started();
                }
            }
            Return::Kubelet(node) => {
                if let Some(machine) = self.machines.get_mut(node as usize) {
                    machine.start(self.now);
                }
            }
            Return::Power(node, clock) => {
                if let Some(machine) = self.machines.get_mut(node as usize).filter(|machine| !machine.is_up()) {
                    machine.clock = machine.clock.saturating_add(clock * 1_000);
                    machine.start(self.now);
                }
            }
        }
        Ok(())
    }

    fn act(&mut self, action: &Action) -> Result<(), Violation> {
        if self.tell {
            let text = serde_json::to_string(action).unwrap_or_default();
            self.outcome.story.push(format!("{:>8} * {text}", self.now.millis_since(EPOCH)));
        }
        if let Some(fault) = action.fault() {
            *self.outcome.faults.entry(fault).or_default() += 1;
        }
        match action {
            Action::Create { .. }
            | Action::Patch { .. }
            | Action::Delete { .. }
            | Action::Evict { .. }
            | Action::DeletePod { .. } => {
                self.users.begin(action.clone());
                self.send_all();
            }
            Action::Crash { durable, millis } => {
                if self.plane.cluster().is_some() {
                    self.plane.crash(*durable);
                    self.network.plane_gone(self.now);
                    self.come_back_at(*millis, Return::Plane);
                }
            }
            Action::SlowJournal { latency, millis } => self.plane.slow_down(*latency, self.now.plus_millis(*millis)),
            Action::ClockJump { seconds } => self.plane.jump(*seconds),
            Action::Partition { node, millis } => {
                let until = self.now.plus_millis(*millis);
                self.network.cut(self.now, Party::Node(*node), until);
            }
            Action::Noise { delay, lost, twice, millis } => {
                let until = self.now.plus_millis(*millis);
                self.network.noise(Noise { delay: *delay, lost: *lost, twice: *twice, until });
            }
            Action::CutStreams {} => {
                for stream in self.network.break_streams(self.now, None) {
                    self.plane.push(Input::Closed(stream));
                }
            }
            Action::KubeletRestart { node, millis } => self.stop_machine(*node, *millis, None),
            Action::Reboot { node, millis, clock } => self.stop_machine(*node, *millis, Some(*clock)),
            Action::NodeClock { node, seconds } => {
                if let Some(machine) = self.machines.get_mut(*node as usize) {
                    machine.clock += i64::try_from(*seconds).unwrap_or(0) * 1_000_000;
                }
            }
            Action::NodeLoss { node } => self.lose_machine(*node),
        }
        Ok(())
    }

    /// A kubelet stops for a while; with a change of its clock, the whole machine does.
    fn stop_machine(&mut self, node: u32, millis: u64, power: Option<i64>) {
        let Some(machine) = self.machines.get_mut(node as usize).filter(|machine| machine.is_up()) else { return };
        let back = match power {
            Some(clock) => {
                machine.power_off();
                self.checker.powered_off(&machine.name);
                Return::Power(node, clock)
            }
            None => {
                machine.stop();
                Return::Kubelet(node)
            }
        };
        for stream in self.network.close_all(Party::Node(node)) {
            self.plane.push(Input::Closed(stream));
        }
        self.come_back_at(millis, back);
    }

    fn lose_machine(&mut self, node: u32) {
        // Somebody must be left.
        if self.machines.iter().filter(|machine| !machine.lost).count() < 2 {
            return;
        }
        let Some(machine) = self.machines.get_mut(node as usize) else { return };
        machine.power_off();
        self.checker.powered_off(&machine.name);
        machine.lost = true;
        let path = format!("/api/v1/nodes/{}", machine.name);
        for stream in self.network.close_all(Party::Node(node)) {
            self.plane.push(Input::Closed(stream));
        }
        self.users.begin(Action::Delete { path, propagation: "Background".to_owned() });
        self.send_all();
    }
}

/// What every cluster has before anything happens in it: the journal of one that was left alone.
pub fn genesis() -> Durable {
    let mut plane = Plane::new(Config::default(), Durable::default(), 0);
    plane.start(EPOCH);
    let mut now = EPOCH;
    while let Some(at) = plane.wake(now).filter(|at| *at < EPOCH.plus_millis(2_000)) {
        now = now.max(at);
        plane.run(now);
    }
    plane.durable
}
