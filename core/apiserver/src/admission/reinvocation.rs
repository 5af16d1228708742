//! Which webhooks and policies have seen the object of a request, for those that want to see it again when others changed it.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#reinvocation-policy>

use std::collections::BTreeSet;

use object::Value;

/// The mutating phase of one request.
#[derive(Default)]
pub(crate) struct Reinvocation {
    /// This is the second time.
    pub(super) again: bool,
    /// Somebody has changed the object: all of the chain has to look at it again.
    wanted: bool,
    /// Those outside.
    pub(super) webhooks: Invoked,
    /// Those written down here.
    pub(super) policies: Invoked,
}

/// Of one plugin, who ran.
#[derive(Default)]
pub(crate) struct Invoked {
    /// Those that ran and want to run again if need be.
    reinvocable: BTreeSet<String>,
    /// Of these, those after which the object was changed.
    due: BTreeSet<String>,
    /// The object as the plugin left it.
    output: Value,
}

impl Reinvocation {
    /// Whether the chain has to run again; says so once.
    pub(super) fn begins(&mut self) -> bool {
        self.again = self.wanted && !self.again;
        self.again
    }

    /// The chain has to run again.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }
}

impl Invoked {
    /// The plugin's turn comes, for the second time if `again`.
    pub(super) fn begin(&mut self, again: bool, object: &Value) {
        if again && self.output != *object {
            self.changed();
        }
    }

    /// The object was changed since those ran that have run.
    pub(super) fn changed(&mut self) {
        let previous = std::mem::take(&mut self.reinvocable);
        self.due.extend(previous);
    }

    /// Whether this one has nothing to do in the second round.
    pub(super) fn skips(&mut self, again: bool, id: &str) -> bool {
        again && !self.due.remove(id)
    }

    /// This one ran, and wants to run again if need be.
    pub(super) fn may_run_again(&mut self, id: String) {
        self.reinvocable.insert(id);
    }

    /// The plugin's turn ends.
    pub(super) fn end(&mut self, object: &Value) {
        self.output = object.clone();
    }
}
