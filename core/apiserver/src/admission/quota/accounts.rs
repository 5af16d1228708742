//! What quotas' namespaces use, kept from one write to the next: counted once, then followed through the store's history.
//!
//! This is never written down and never told anything but by the store: what it says is what counting all objects would say, and
//! where the history does not reach they are counted again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object::quantity::{Format, Quantity};
use object::value::str_at;
use object::{GroupResource, Value};
use store::{Event, Object, Store};

use super::{Counted, Usage, counted_resource, hard};

/// The accounts of all quotas that were asked for.
#[derive(Default)]
pub struct Accounts {
    /// Everything up to this revision is counted.
    at: u64,
    /// By namespace and name of the quota.
    quotas: BTreeMap<Arc<str>, BTreeMap<String, Account>>,
}

/// What one quota counts.
struct Account {
    /// The quota's spec, which says what counts.
    spec: Value,
    limits: Usage,
    resources: BTreeSet<GroupResource>,
    sums: BTreeMap<String, Sum>,
}

/// An amount, apart by the forms in which its parts are written, so that it is shown the same whatever came first.
#[derive(Default)]
struct Sum([Quantity; 3]);

impl Sum {
    fn of(&mut self, amount: Quantity) -> &mut Quantity {
        match amount.format() {
            Format::BinarySI => &mut self.0[0],
            Format::DecimalSI => &mut self.0[1],
            Format::DecimalExponent => &mut self.0[2],
        }
    }
}

impl Account {
    fn new(quota: &Value) -> Self {
        let limits = hard(quota);
        let resources = limits.keys().map(|name| counted_resource(name)).collect();
        Account { spec: quota.get("spec").cloned().unwrap_or_default(), limits, resources, sums: BTreeMap::new() }
    }

    /// Counts an object in, or out.
    fn count(&mut self, object: &Object, is_in: bool) {
        let resource = &object.key.resource;
        let counted: &Counted = object.view();
        if !self.resources.contains(resource) || !counted.in_scope(&self.spec, resource) {
            return;
        }
        for (name, amount) in counted.usage(resource) {
            if self.limits.contains_key(&name) {
                let sum = self.sums.entry(name).or_default().of(amount);
                *sum = if is_in { *sum + amount } else { *sum - amount };
            }
        }
    }

    fn usage(&self) -> Usage {
        let used = |(name, limit): (&String, &Quantity)| {
            let none = Quantity::new(0, limit.format());
            let parts = self.sums.get(name).map(|sum| sum.0).unwrap_or_default();
            (name.clone(), parts.into_iter().filter(|part| part.sign() != 0).fold(none, |sum, part| sum + part))
        };
        self.limits.iter().map(used).collect()
    }
}

impl Accounts {
    /// What is used now of each of a quota's limits.
    pub fn used(&mut self, store: &Store, quota: &Value) -> Usage {
        self.follow(store);
        let (namespace, name) = (str_at(quota, &["metadata", "namespace"]), str_at(quota, &["metadata", "name"]));
        let known = self.quotas.get(namespace).and_then(|quotas| quotas.get(name));
        if let Some(account) = known.filter(|account| Some(&account.spec) == quota.get("spec")) {
            return account.usage();
        }
        let mut account = Account::new(quota);
        for resource in account.resources.clone() {
            store.list(&resource, Some(namespace)).for_each(|object| account.count(object, true));
        }
        let usage = account.usage();
        self.quotas.entry(namespace.into()).or_default().insert(name.to_owned(), account);
        usage
    }

    /// Counts what has changed since the last time.
    fn follow(&mut self, store: &Store) {
        match store.events_since(self.at) {
            Ok(events) if !self.quotas.is_empty() => events.for_each(|event| self.count(event)),
            Ok(_) => {}
            Err(_) => self.quotas.clear(),
        }
        self.at = store.revision();
    }

    fn count(&mut self, event: &Event) {
        let key = event.key();
        let Some(quotas) = self.quotas.get_mut(&key.namespace) else { return };
        if event.new.is_none() && key.resource == GroupResource::literal("", "resourcequotas") {
            quotas.remove(&*key.name);
        }
        for account in quotas.values_mut() {
            if let Some(old) = &event.old {
                account.count(old, false);
            }
            if let Some(new) = &event.new {
                account.count(new, true);
            }
        }
        if quotas.is_empty() {
            self.quotas.remove(&key.namespace);
        }
    }
}
