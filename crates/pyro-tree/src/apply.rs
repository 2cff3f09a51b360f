//! Taking a guest's changes over into a tree on the host.
//!
//! ```text
//! changes ─select─▶ changes ─plan─▶ Plan (a decision for each) ─carry_out─▶ Applied, or nothing changed
//! ```
//!
//! A [`Plan`] lives until it is carried out; it holds what the host had when it was made. Carrying out stages every
//! content in the undo directory first and verifies it there (a guest that lies is found before anything changes),
//! makes the record of the reversal durable, and then steps through the operations. A failure in the middle takes the
//! steps back; a kill leaves a record that [`crate::undo::roll_back`] takes back.
//!
//! Nothing that comes out of a guest is trusted. `apply/names.rs` says what is refused. Nothing is written through a
//! symbolic link, and nothing that the plan does not name is touched.

mod carry;
mod change;
mod error;
mod names;
mod order;
mod plan;
mod select;
mod stage;

pub use carry::{Application, Applied, carry_out};
pub use change::{Change, Contents};
pub use error::ApplyError;
pub use names::{Reason, Refusal};
pub use plan::{Decision, Merging, Plan, Planned, Policy, Warning, plan};
pub use select::{PatternError, select};
