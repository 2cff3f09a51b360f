//! One file a command. Each returns its exit code.

pub mod demo;
pub mod doctor;
pub mod env;
pub mod manual;
pub mod mcp;
pub mod mcp_install;
pub mod ollama;
pub mod repair;
pub mod run;
pub mod supervise;
pub mod task;
pub mod task_changes;
pub mod task_copy;
pub mod task_exec;
pub mod task_file;
pub mod task_life;
pub mod task_list;
pub mod task_logs;
pub mod task_record;
