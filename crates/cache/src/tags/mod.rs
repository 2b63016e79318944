//! Many entries made invalid at once: `marks` remembers when what was, `namespace` groups keys, `tagged` entries by tags,
//! `through` those in front of a source with a policy.

mod marks;
mod namespace;
mod tagged;
mod through;

pub(crate) use marks::Marks;
pub use namespace::Namespace;
pub use tagged::Tagged;
pub use through::TaggedReadThrough;
