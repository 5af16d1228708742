//! Types of declared values with what bounds them: how many elements, and how little room one takes.

use std::collections::BTreeMap;

use super::types::Type;

/// A declared type, and the bounds of its values.
#[derive(Clone, Debug)]
pub struct Decl {
    /// The type.
    pub of: Type,
    /// Characters, items or entries that a value has at most.
    pub most: u64,
    /// Bytes of JSON that a value takes at least.
    pub least: u64,
    below: Below,
}

#[derive(Clone, Debug)]
enum Below {
    Nothing,
    Items(Box<Decl>),
    Values(Box<Decl>),
    Fields(BTreeMap<String, Decl>),
}

/// A step from a value to one inside it.
#[derive(Clone, Copy, Debug)]
pub enum Step<'s> {
    /// A list's item, or a map's value.
    Element,
    /// A map's key.
    Key,
    /// An object's field.
    Field(&'s str),
}

/// Keys are texts of no declared length.
static KEY: Decl = Decl { of: Type::Text, most: 0, least: 2, below: Below::Nothing };

impl Decl {
    /// A value without parts.
    pub fn scalar(of: Type, most: u64, least: u64) -> Decl {
        Decl { of, most, least, below: Below::Nothing }
    }

    /// A list of these.
    pub fn list(items: Decl, most: u64) -> Decl {
        Decl { of: Type::list(items.of.clone()), most, least: 2, below: Below::Items(Box::new(items)) }
    }

    /// A map from texts to these.
    pub fn map(values: Decl, most: u64) -> Decl {
        Decl { of: Type::map(Type::Text, values.of.clone()), most, least: 2, below: Below::Values(Box::new(values)) }
    }

    /// An object with these fields, by the names that expressions use.
    pub fn object(name: &str, fields: BTreeMap<String, Decl>, least: u64) -> Decl {
        let types = fields.iter().map(|(field, decl)| (field.clone(), decl.of.clone()));
        Decl { of: Type::object(name, types), most: 0, least, below: Below::Fields(fields) }
    }

    /// What is declared of a value inside.
    pub fn step(&self, step: Step<'_>) -> Option<&Decl> {
        match (&self.below, step) {
            (Below::Items(decl) | Below::Values(decl), Step::Element) => Some(decl),
            (Below::Values(_), Step::Key) => Some(&KEY),
            (Below::Fields(fields), Step::Field(name)) => fields.get(name),
            _ => None,
        }
    }
}
