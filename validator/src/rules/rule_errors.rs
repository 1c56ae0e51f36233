//! The macro that defines an enum of broken rules: one variant for each rule, with the value seen and the value wanted.
//!
//! The list of variants also defines every function that must know all of them.

/// Defines the enum with `seen`, `wanted`, `reject_reason`, `Display` and `Error`. The variant named by `source`, if any, has
/// its error as source. `Display` includes the source's values, so print such an error without its sources.
macro_rules! rule_errors {
    (
        $(#[$enum_doc:meta])*
        pub enum $name:ident, $(#[$reason_doc:meta])* reject_reason: $reason_type:ty
        $(, source: $outer:ident { $inner:ident })?;
        $(
            $(#[$doc:meta])*
            $variant:ident { $( $(#[$field_doc:meta])* $field:ident: $type:ty, )* }
            $reason:expr, seen $seen:expr, wanted $wanted:expr;
        )*
    ) => {
        $(#[$enum_doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[$doc])* $variant { $( $(#[$field_doc])* $field: $type, )* }, )*
        }

        impl $name {
            /// The value seen, as text.
            #[must_use]
            pub fn seen(&self) -> String {
                match self { $( $name::$variant { $($field),* } => { $( let _ = $field; )* $seen.to_string() } )* }
            }

            /// The value or the range of values wanted, as text.
            #[must_use]
            pub fn wanted(&self) -> String {
                match self { $( $name::$variant { $($field),* } => { $( let _ = $field; )* $wanted.to_string() } )* }
            }

            $(#[$reason_doc])*
            #[must_use]
            pub fn reject_reason(&self) -> $reason_type {
                match self { $( $name::$variant { $($field),* } => { $( let _ = $field; )* $reason.into() } )* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}: seen {}; wanted {}", self.reject_reason(), self.seen(), self.wanted())
            }
        }

        impl std::error::Error for $name {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                $( if let $name::$outer { $inner, .. } = self {
                    return Some($inner);
                } )?
                None
            }
        }
    };
}

pub(super) use rule_errors;
