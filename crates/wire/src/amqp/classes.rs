//! What the table in `methods.rs` becomes: a type for each method, an enum for each class, one enum for all, and
//! reading and writing from the same list of arguments, so that the two cannot differ.

macro_rules! classes {
    ($(
        $(#[$class_doc:meta])*
        class $class:ident, $Class:ident $(<$class_life:lifetime>)? = $class_id:literal {
            $(
                $(#[$doc:meta])*
                $Method:ident $(<$life:lifetime>)? = $id:literal, $name:literal, $sender:ident {
                    $($argument:ident: $type:ty),* $(,)?
                }
            )*
        }
    )*) => {
        $(
            $(#[$class_doc])*
            pub mod $class {
                use super::*;

                /// A method of this class.
                #[derive(Clone, Copy, Debug, PartialEq, Eq)]
                pub enum Method $(<$class_life>)? {
                    $($(#[$doc])* $Method($Method $(<$life>)?),)*
                }

                #[allow(clippy::needless_lifetimes, reason = "some classes borrow nothing")]
                pub(super) fn decode<'a>(
                    id: MethodId,
                    arguments: &'a [u8],
                ) -> Result<Method $(<$class_life>)?, Fault> {
                    match id.method {
                        $($id => $Method::decode(arguments).map(Method::$Method),)*
                        _ => Err(Fault::of_method(Reason::UnknownMethod, id)),
                    }
                }

                pub(super) const fn name(method: u16) -> Option<&'static str> {
                    match method {
                        $($id => Some($name),)*
                        _ => None,
                    }
                }

                $(
                    $(#[$doc])*
                    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
                    #[allow(missing_docs, reason = "the arguments are named as in the published definition")]
                    pub struct $Method $(<$life>)? {
                        $(pub $argument: $type,)*
                    }

                    impl<'a> Arguments<'a> for $Method $(<$life>)? {
                        const ID: MethodId = MethodId { class: $class_id, method: $id };

                        #[allow(unused_mut, reason = "some methods have no arguments")]
                        fn decode(arguments: &'a [u8]) -> Result<Self, Fault> {
                            let mut reader = Reader::new(arguments);
                            let method = Self {
                                $($argument: Argument::read(&mut reader).map_err(|reason| fault(reason, Self::ID))?,)*
                            };
                            if reader.is_done() { Ok(method) } else { Err(fault(Reason::Arguments, Self::ID)) }
                        }

                        #[allow(unused_variables, unused_mut, reason = "some methods have no arguments")]
                        fn encode(&self, out: &mut Vec<u8>) {
                            let mut writer = Writer::new(out);
                            $(self.$argument.write(&mut writer);)*
                        }
                    }

                    impl<'a> From<$Method $(<$life>)?> for super::Method<'a> {
                        fn from(method: $Method $(<$life>)?) -> Self {
                            Self::$Class(Method::$Method(method))
                        }
                    }
                )*
            }
        )*

        /// Any method.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Method<'a> {
            $($(#[$class_doc])* $Class($class::Method $(<$class_life>)?),)*
        }

        impl<'a> Method<'a> {
            /// Reads the arguments of the method `id`.
            ///
            /// # Errors
            /// The method is not known, or its arguments are not as declared.
            pub fn decode(id: MethodId, arguments: &'a [u8]) -> Result<Self, Fault> {
                match id.class {
                    $($class_id => $class::decode(id, arguments).map(Self::$Class),)*
                    _ => Err(Fault::of_method(Reason::UnknownMethod, id)),
                }
            }

            /// Which method it is.
            pub const fn id(&self) -> MethodId {
                match self {
                    $($(Self::$Class($class::Method::$Method(_)) => $class::$Method::ID,)*)*
                }
            }

            /// Who may send it.
            pub const fn sender(&self) -> Sender {
                match self {
                    $($(Self::$Class($class::Method::$Method(_)) => Sender::$sender,)*)*
                }
            }

            /// Writes the arguments.
            pub fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $($(Self::$Class($class::Method::$Method(method)) => method.encode(out),)*)*
                }
            }
        }

        impl MethodId {
            /// The name of the method in RabbitMQ's words, as `queue.declare`.
            pub const fn name(self) -> Option<&'static str> {
                match self.class {
                    $($class_id => $class::name(self.method),)*
                    _ => None,
                }
            }
        }

        /// The declaration in the words of the published definition.
        #[cfg(test)]
        #[allow(clippy::extra_unused_lifetimes, reason = "the types of the arguments are written with it")]
        pub(super) fn declared<'a>() -> Vec<Declared> {
            vec![$($(Declared {
                name: $name,
                id: MethodId { class: $class_id, method: $id },
                sender: Sender::$sender,
                arguments: vec![$((stringify!($argument), <$type as Argument<'a>>::KIND)),*],
            },)*)*]
        }
    };
}

pub(super) use classes;
