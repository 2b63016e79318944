//! Many entries made invalid at once: `marks` remembers when what was, `namespace` groups keys, `tagged` entries by tags.

mod marks;
mod namespace;
mod tagged;

pub(crate) use marks::Marks;
pub use namespace::Namespace;
pub use tagged::Tagged;
