//! The macro that writes an enum of broken rules: one variant a rule, with the value seen and the value wanted.
//!
//! A rule is added in one place: the functions that must know every variant are written from the same list.

/// Writes the enum and its `seen`, `wanted`, `reject_reason`, `Display` and `Error`.
macro_rules! rule_errors {
    (
        $(#[$enum_doc:meta])*
        pub enum $name:ident, $(#[$reason_doc:meta])* reject_reason: $reason_type:ty;
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
            /// The value that was seen, for people.
            #[must_use]
            pub fn seen(&self) -> String {
                match self { $( $name::$variant { $($field),* } => { $( let _ = $field; )* $seen.to_string() } )* }
            }

            /// The value, or the range of values, that was wanted, for people.
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

        impl std::error::Error for $name {}
    };
}

pub(super) use rule_errors;
