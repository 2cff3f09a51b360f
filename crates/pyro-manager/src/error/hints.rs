//! What to do about each code.

/// The sentence for a code; `None` where there is nothing to be done.
pub fn of(code: &str) -> Option<&'static str> {
    Some(match code {
        "unknown_environment" => "`pyro env list` shows every environment",
        "not_installed" => "run `pyro env pull` to install it",
        "out_of_descriptors" => {
            "raise the limit of open files (`ulimit -n` shows it; 1024 is usual), or end programs that hold many files open"
        }
        "no_space" => "free some space, or set PYRO_HOME and PYRO_ENVIRONMENT_CACHE_DIR to larger disks, and try again",
        "tool_missing" | "qemu_missing" => "run `pyro doctor` to see what is missing and how to install it",
        "qemu_too_old" => "install QEMU 8.2 or newer; on Debian 12 it is in bookworm-backports",
        "qemu_unusable" => "run it with --version to see what is wrong",
        "pull_failed" => "fix the cause that the message names, then run `pyro env pull` again",
        "environment_damaged" => "run `pyro env pull`; it removes the damaged files and installs the environment again",
        "guest_not_up" | "machine_not_started" => "run `pyro doctor --deep`; it boots a guest and shows what fails",
        "machine_lost" => "run the command again if it is safe to run it twice",
        "agent_generation" => "run `pyro env prune` to remove old templates; the next run makes a new one",
        "unknown_task" => "`pyro task list` shows every task",
        "not_identified" => {
            "try again; if it fails again, run `pyro env prune` to remove old templates; the next run makes a new one"
        }
        "expired" => "`pyro task create` makes a new task; --ttl-seconds sets how long it lives",
        "ambiguous_id" => "give more characters of the id",
        "max_active_vms" => {
            "delete tasks that are not needed (`pyro task list` shows them), or raise PYRO_MAX_ACTIVE_VMS if there is enough memory"
        }
        "not_started" => "start the VM first",
        "task_stopped" => "start it again with `pyro task start`; `pyro task logs` shows its journal meanwhile",
        "vm_stopped" => "start the VM again",
        "environment_changed" => "delete it and create another; a VM can be started with the pyro that made it",
        "clock_unstable" => "try again when the host is less busy; pyro makes the template only once",
        "host_compat_refused" => {
            "omit allow_host_compat; only a person can allow it, with `pyro mcp serve --allow-host-compat`"
        }
        "name_taken" => "choose another name, or give that task another one with `pyro task update`",
        "attempt_conflict" => "use a different attempt_id for each request",
        "unknown_sequence" => "`pyro task logs` shows every command with its number",
        "command_lost" => "`pyro task logs` shows its output; run it again if it is safe to run it twice",
        "supervisor_gone" => "`pyro task logs` shows every command that was sent, with its outcome",
        "newer_registry" | "newer_journal" | "newer_record" => {
            "use the newer pyro, or set PYRO_HOME to another directory"
        }
        "newer_environment" => "use the newer pyro, or set PYRO_ENVIRONMENT_CACHE_DIR to another directory",
        "record_damaged" => "pyro removed nothing; run `pyro repair` to see what can be restored",
        "record_missing" => "pyro removed nothing; run `pyro repair` to see what can be done",
        "record_unreadable" => "pyro removed nothing; fix the cause that the message names, and try again",
        "network_file_system" => "set PYRO_HOME to a directory on a local disk",
        "registry_unusable" => {
            "pyro removed nothing; run `pyro repair` to see the damage, and `pyro repair --apply` to rebuild the registry from the records"
        }
        "file_not_found" => "`pyro task file list` shows what is there",
        "file_exists" => "choose another name, or allow that it is replaced",
        "directory_not_empty" => "remove it recursively, or empty it first",
        "outside_root" => "a path may not leave its root (/workspace unless another is named); name a root above it",
        "file_changed" => "read the file again, and repeat the change with its new digest",
        "guest_no_space" => "remove files in the task; its disk is full",
        "apply_refused" => {
            "nothing was changed; name what you want with --only, allow a refused path with --allow, merge with --merge, or leave problems out with --skip-problems"
        }
        "file_unknown" => "look at the file before you try again",
        "too_many_clients" => "try again when some clients have finished",
        "journal_unusable" => "pyro removed nothing; check the file that the message names, or delete the task",
        "supervisor_failed" => "run `pyro doctor` to see what is missing; the next pyro command removes the leftovers",
        "passt_missing" => "install passt (on Debian and Ubuntu: apt-get install passt), or run without a network",
        "no_route" => "connect this host to a network, or run without one; `ip route` shows the host's routes",
        "network_failed" => "run `passt --foreground` to see why it fails (often: user namespaces are forbidden)",
        _ => return None,
    })
}
