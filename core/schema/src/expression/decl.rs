//! Types of kinds as expressions know them.

use cel::Type;

use crate::types::{self, Format, Shape};

/// Types nest no deeper; what refers to itself is not known to expressions, as in Kubernetes.
const MAX_DEPTH: u32 = 40;

/// The most types that a kind may consist of.
const MOST_PARTS: u32 = 20_000;

/// The type of a kind's objects, under a name that shows in what is said of it. `None` if the type refers to itself.
pub fn of_type(name: &str, ty: types::Type<'_>) -> Option<Type> {
    let mut parts = 0;
    match decl(name, ty, 0, &mut parts) {
        Decl::Known(of) => Some(of),
        _ => None,
    }
}

enum Decl {
    Known(Type),
    /// Not shown to expressions.
    Hidden,
    Endless,
}

fn decl(name: &str, ty: types::Type<'_>, depth: u32, parts: &mut u32) -> Decl {
    *parts += 1;
    if depth > MAX_DEPTH || *parts > MOST_PARTS {
        return Decl::Endless;
    }
    let below = |name: String, ty: Option<types::Type<'_>>, parts: &mut u32| {
        ty.map_or(Decl::Hidden, |ty| decl(&name, ty, depth + 1, parts))
    };
    Decl::Known(match ty.shape() {
        // Quantities have no single type in OpenAPI, nor has JSON.
        Shape::Any | Shape::ObjectOr(_) | Shape::Quantity => return Decl::Hidden,
        Shape::Embedded => Type::object(name, []),
        Shape::Boolean => Type::Bool,
        Shape::String(Format::DateTime | Format::MicroTime) => Type::Timestamp,
        Shape::String(Format::Byte) => Type::Bytes,
        Shape::String(Format::Plain) => Type::Text,
        Shape::Integer { .. } => Type::Int,
        Shape::Number => Type::Double,
        Shape::IntOrString => Type::Dyn,
        Shape::List(..) => match below(format!("{name}.@idx"), ty.items(), parts) {
            Decl::Known(of) => Type::list(of),
            other => return other,
        },
        Shape::Map(_) => match below(format!("{name}.@elem"), ty.values(), parts) {
            Decl::Known(of) => Type::map(Type::Text, of),
            other => return other,
        },
        Shape::Struct(_) => {
            let mut fields = Vec::new();
            for field in ty.fields() {
                match below(format!("{name}.{}", field.name()), Some(field.ty()), parts) {
                    Decl::Known(of) => {
                        // Words of the language may be written plainly or between underscores.
                        fields.extend(written(field.name()).map(|name| (name, of.clone())));
                    }
                    Decl::Hidden => {}
                    Decl::Endless => return Decl::Endless,
                }
            }
            Type::object(name, fields)
        }
    })
}

/// How expressions may write a field's name; what they cannot write is not known to them.
fn written(name: &str) -> impl Iterator<Item = String> {
    let plain = cel::is_reserved(name).then(|| name.to_owned());
    plain.into_iter().chain(cel::escaped(name))
}
