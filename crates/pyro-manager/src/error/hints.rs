//! What to do about each code.

/// The sentence for a code; `None` where there is nothing to be done.
pub fn of(code: &str) -> Option<&'static str> {
    Some(match code {
        "unknown_environment" => "`pyro env list` shows every environment",
        "not_installed" => "`pyro env pull` installs it",
        "out_of_descriptors" => {
            "raise the limit (`ulimit -n` shows it; 1024 is usual), or end programs that keep many files open"
        }
        "no_space" => "free some space, or set PYRO_HOME and PYRO_ENVIRONMENT_CACHE_DIR to larger disks, and try again",
        "tool_missing" | "qemu_missing" => "`pyro doctor` says what is missing and how to install it",
        "qemu_too_old" => "install QEMU 8.2 or newer; on Debian 12 it is in bookworm-backports",
        "qemu_unusable" => "run it with --version by hand to see what is wrong",
        "pull_failed" => "mend what the message names; the next `pyro env pull` starts afresh",
        "environment_damaged" => "`pyro env pull` removes it and installs it again",
        "guest_not_up" | "machine_not_started" => "`pyro doctor --deep` boots a guest and says what is in the way",
        "machine_lost" => "run the command again if doing it twice does no harm",
        "agent_generation" => "`pyro env prune` removes old templates; the next run makes a new one",
        "unknown_task" => "`pyro task list` shows every task",
        "not_identified" => {
            "try again; if it stays, `pyro env prune` removes old templates and the next run makes a new one"
        }
        "expired" => "`pyro task create` makes a new one; --ttl-seconds says how long it may live",
        "ambiguous_id" => "give more of the id",
        "max_active_vms" => {
            "delete what is not needed (`pyro task list`), or raise PYRO_MAX_ACTIVE_VMS where there is memory for it"
        }
        "not_started" => "start it first",
        "task_stopped" => "its journal can still be read; create another task to go on",
        "vm_stopped" => "start it again",
        "environment_changed" => "delete it and create another, or start it with the pyro that made it",
        "clock_unstable" => "try again when the host is less busy; the template is made once",
        "host_compat_refused" => {
            "leave it out; a person may start the server with `pyro mcp serve --allow-host-compat`"
        }
        "attempt_conflict" => "use an attempt id of its own for each request",
        "unknown_sequence" => "`pyro task logs` shows every command with its number",
        "command_lost" => "`pyro task logs` has the output it had; run it again if doing it twice does no harm",
        "supervisor_gone" => "`pyro task logs` shows every command that was sent, and what came of it",
        "newer_registry" | "newer_journal" | "newer_record" => "use the newer pyro, or another PYRO_HOME",
        "newer_environment" => "use the newer pyro, or set PYRO_ENVIRONMENT_CACHE_DIR to another directory",
        "record_damaged" => "nothing of it was removed; `pyro repair` says what can be restored",
        "record_missing" => "nothing of it was removed; `pyro repair` says what can be done",
        "record_unreadable" => "nothing of it was removed; mend what the message names, and try again",
        "network_file_system" => "set PYRO_HOME to a directory on a local disk",
        "registry_unusable" => {
            "nothing was removed; `pyro repair` says what is damaged, and makes the registry anew from the machines' directories"
        }
        "too_many_clients" => "try again when some of them are done",
        "journal_unusable" => "nothing was removed; look at the file it names, or delete the task",
        "supervisor_failed" => "`pyro doctor` says what is missing; the next command removes what is left",
        "passt_missing" => "install passt (on Debian and Ubuntu: apt-get install passt), or leave the network out",
        "no_route" => "connect this host, or leave the network out; `ip route` shows its routes",
        "network_failed" => {
            "start `passt --foreground` by hand to see what is in its way (often: user namespaces are forbidden)"
        }
        _ => return None,
    })
}
