//! Tar archives as bytes: read strictly, written so that the usual programs read them, compressed and not.
//!
//! What is read may come from a hostile guest: every length is bounded before memory is taken for it.

pub(crate) mod codec;
pub(crate) mod header;
pub(crate) mod member;
pub(crate) mod pax;
pub(crate) mod read;
pub(crate) mod sparse;
pub(crate) mod write;
