//! One file a command. Each returns its exit code.

pub mod demo;
pub mod doctor;
pub mod env;
pub mod run;
