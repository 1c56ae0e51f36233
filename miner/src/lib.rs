//! Turns block templates into solutions: job, devices, engine, and the seam through which work arrives.

mod work;

pub use work::{Coinbase, Solution, Submission, Template, TemplateId, WorkSource};
