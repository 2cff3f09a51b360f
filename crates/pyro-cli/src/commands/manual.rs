//! `pyro completions` and `pyro man`: what other programs read about this one.

use clap::CommandFactory;

use crate::arguments::{Arguments, CompletionsArguments, ManArguments};
use crate::failure::ERROR;
use crate::stdio::print;
use crate::terminal::say;

pub fn completions(arguments: &CompletionsArguments) -> i32 {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "pyro", &mut text);
    print(&String::from_utf8_lossy(&text));
    0
}

pub fn man(arguments: &ManArguments) -> i32 {
    let directory = &arguments.directory;
    let written =
        std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(Arguments::command(), directory));
    match written {
        Ok(()) => {
            print(&format!("{}\n", directory.join("pyro.1").display()));
            0
        }
        Err(error) => {
            say!("[error] the manual pages could not be written into {}: {error}", directory.display());
            ERROR
        }
    }
}
