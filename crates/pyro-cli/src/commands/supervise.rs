//! `pyro supervise ID`: the process that owns one VM or task. Started by pyro itself.

use pyro_api::Pyro;

use crate::arguments::SuperviseArguments;
use crate::failure::{ERROR, Format, show};

/// The id is there for whoever looks at the list of processes.
pub fn run(_arguments: &SuperviseArguments) -> i32 {
    match pyro_api::supervise(Pyro::new) {
        Ok(()) => 0,
        Err(error) => show(&error, Format::Human, ERROR),
    }
}
