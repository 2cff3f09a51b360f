"""The operations of pyro as methods. Made from the list of operations in `crates/pyro-api`; do not edit.

To make it again: `PYRO_WRITE_GENERATED=1 cargo test -p pyro-api --test python_client`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from ._execution import Execution, Payload


class Operations:
    """Every operation, for programs that wait."""

    def _do(self, operation: str, stdin: str | bytes | None = None, **arguments: Any) -> Payload:
        raise NotImplementedError

    def _begin(self, operation: str, stdin: str | bytes | None = None, **arguments: Any) -> Execution:
        raise NotImplementedError

    def run_in_vm(
        self,
        *,
        environment: str,
        command: str,
        allow_host_compat: bool = False,
        mem_mib: int = 1024,
        network: bool = False,
        stdin: str | bytes | None = None,
        timeout_seconds: float = 30,
        ttl_seconds: int | None = None,
        vcpu_count: int = 1,
    ) -> Payload:
        """Run one shell command in a fresh, isolated Linux VM and return its output and exit code. The VM and
        its files are removed afterwards. First choice for a single command. Exit code 124 means
        timeout_seconds was reached.

        `environment`: such as debian:12.
        `command`: The command, for the shell.
        `allow_host_compat`: Allow commands to run on this host when no guest can run.
        `mem_mib`: Memory in MiB, 256 to 32768.
        `network`: Allow outgoing connections from the guest.
        `stdin`: The command's input.
        `timeout_seconds`: Time limit of the command in seconds.
        `ttl_seconds`: Time to live of the machine in seconds, 60 to 604800.
        `vcpu_count`: Virtual processors, 1 to 8.
        """
        return self._do(
            "run_in_vm",
            stdin,
            environment=environment,
            command=command,
            allow_host_compat=allow_host_compat,
            mem_mib=mem_mib,
            network=network,
            timeout_seconds=timeout_seconds,
            ttl_seconds=ttl_seconds,
            vcpu_count=vcpu_count,
        )

    def list_environments(self) -> Payload:
        """List the environments (root file systems) for VMs and tasks, and whether each is installed. debian:12
        has bash, git, perl and the core tools, but no python3 and no curl; debian:12-build adds python3,
        gcc, g++, make and cmake."""
        return self._do("list_environments")

    def pull_environment(self, environment: str) -> Payload:
        """Install an environment. Safe to call again.

        `environment`: such as debian:12.
        """
        return self._do("pull_environment", environment=environment)

    def inspect_environment(self, environment: str) -> Payload:
        """Show an environment's details.

        `environment`: such as debian:12.
        """
        return self._do("inspect_environment", environment=environment)

    def prune_environments(self) -> Payload:
        """Remove environment files that this release does not use."""
        return self._do("prune_environments")

    def create_vm(
        self,
        *,
        environment: str,
        allow_host_compat: bool = False,
        attempt_id: str | None = None,
        mem_mib: int = 1024,
        network: bool = False,
        ttl_seconds: int = 600,
        vcpu_count: int = 1,
    ) -> Payload:
        """Create a VM without starting it, for callers that control each step: then start it and run its one
        command. Prefer a run, which is one step.

        `environment`: such as debian:12.
        `allow_host_compat`: Allow commands to run on this host when no guest can run.
        `attempt_id`: A repeated attempt_id returns the same VM.
        `mem_mib`: Memory in MiB, 256 to 32768.
        `network`: Allow outgoing connections from the guest.
        `ttl_seconds`: Time to live in seconds, 60 to 604800.
        `vcpu_count`: Virtual processors, 1 to 8.
        """
        return self._do(
            "create_vm",
            environment=environment,
            allow_host_compat=allow_host_compat,
            attempt_id=attempt_id,
            mem_mib=mem_mib,
            network=network,
            ttl_seconds=ttl_seconds,
            vcpu_count=vcpu_count,
        )

    def start_vm(self, vm_id: str) -> Payload:
        """Start a created or stopped VM.

        `vm_id`: The VM's id.
        """
        return self._do("start_vm", vm_id=vm_id)

    def exec_vm(
        self,
        vm_id: str,
        *,
        command: str,
        stdin: str | bytes | None = None,
        timeout_seconds: float = 30,
    ) -> Payload:
        """Run one shell command in a started VM, then delete the VM, even if the command fails. For several
        commands use a task.

        `vm_id`: The VM's id.
        `command`: The command, for the shell.
        `stdin`: The command's input.
        `timeout_seconds`: Time limit of the command in seconds.
        """
        return self._do("exec_vm", stdin, vm_id=vm_id, command=command, timeout_seconds=timeout_seconds)

    def stop_vm(self, vm_id: str) -> Payload:
        """Stop a VM. Its disk is kept, and it can be started again.

        `vm_id`: The VM's id.
        """
        return self._do("stop_vm", vm_id=vm_id)

    def delete_vm(self, vm_id: str) -> Payload:
        """Delete a VM in any state, and its disk.

        `vm_id`: The VM's id.
        """
        return self._do("delete_vm", vm_id=vm_id)

    def status_vm(self, vm_id: str) -> Payload:
        """Show a VM's state and limits.

        `vm_id`: The VM's id.
        """
        return self._do("status_vm", vm_id=vm_id)

    def network_info_vm(self, vm_id: str) -> Payload:
        """Show whether a VM has a network, and its addresses.

        `vm_id`: The VM's id.
        """
        return self._do("network_info_vm", vm_id=vm_id)

    def reap_expired(self) -> Payload:
        """Remove expired VMs and tasks now. They are also removed automatically."""
        return self._do("reap_expired")

    def create_task(
        self,
        *,
        environment: str,
        allow_host_compat: bool = False,
        attempt_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        mem_mib: int = 1024,
        name: str | None = None,
        network: bool = False,
        ttl_seconds: int = 600,
        vcpu_count: int = 1,
    ) -> Payload:
        """Create a task: an isolated Linux VM that stays and keeps its files in /workspace, for several
        commands. Delete it when done. A repeated attempt_id returns the same task.

        `environment`: such as debian:12.
        `allow_host_compat`: Allow commands to run on this host when no guest can run.
        `attempt_id`: A repeated attempt_id returns the same task.
        `labels`: Labels to list tasks by.
        `mem_mib`: Memory in MiB, 256 to 32768.
        `name`: A name for the task, which can be used instead of its id.
        `network`: Allow outgoing connections from the guest.
        `ttl_seconds`: Time to live in seconds, 60 to 604800.
        `vcpu_count`: Virtual processors, 1 to 8.
        """
        return self._do(
            "create_task",
            environment=environment,
            allow_host_compat=allow_host_compat,
            attempt_id=attempt_id,
            labels=None if labels is None else dict(labels),
            mem_mib=mem_mib,
            name=name,
            network=network,
            ttl_seconds=ttl_seconds,
            vcpu_count=vcpu_count,
        )

    def exec_task(
        self,
        task_id: str,
        *,
        command: str,
        attempt_id: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        timeout_seconds: float = 30,
        wait_seconds: float | None = None,
    ) -> Payload:
        """Run a shell command in a task's /workspace, or in cwd. After wait_seconds it returns status running
        with the command's sequence, and the command keeps running. A repeated attempt_id does not run it
        again.

        `task_id`: The task's id or name.
        `command`: The command, for the shell.
        `attempt_id`: A repeated attempt_id does not run the command again.
        `cwd`: Working directory: an absolute path, or a path below /workspace.
        `env`: Environment variables for the command.
        `stdin`: The command's input.
        `timeout_seconds`: Time limit of the command in seconds.
        `wait_seconds`: Return after this many seconds; the command keeps running.
        """
        return self._do(
            "exec_task",
            stdin,
            task_id=task_id,
            command=command,
            attempt_id=attempt_id,
            cwd=cwd,
            env=None if env is None else dict(env),
            timeout_seconds=timeout_seconds,
            wait_seconds=wait_seconds,
        )

    def stream_task(
        self,
        task_id: str,
        *,
        command: str,
        attempt_id: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        timeout_seconds: float = 30,
    ) -> Execution:
        """Run a shell command in a task's /workspace, or in cwd. After wait_seconds it returns status running
        with the command's sequence, and the command keeps running. A repeated attempt_id does not run it
        again.

        The output is read as it comes, from what this returns.

        `task_id`: The task's id or name.
        `command`: The command, for the shell.
        `attempt_id`: A repeated attempt_id does not run the command again.
        `cwd`: Working directory: an absolute path, or a path below /workspace.
        `env`: Environment variables for the command.
        `stdin`: The command's input.
        `timeout_seconds`: Time limit of the command in seconds.
        """
        return self._begin(
            "exec_task",
            stdin,
            task_id=task_id,
            command=command,
            attempt_id=attempt_id,
            cwd=cwd,
            env=None if env is None else dict(env),
            timeout_seconds=timeout_seconds,
        )

    def start_task_command(
        self,
        task_id: str,
        *,
        command: str,
        attempt_id: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_seconds: float = 30,
    ) -> Payload:
        """Start a command in a task and return its sequence at once.

        `task_id`: The task's id or name.
        `command`: The command, for the shell.
        `attempt_id`: A repeated attempt_id does not run the command again.
        `cwd`: Working directory: an absolute path, or a path below /workspace.
        `env`: Environment variables for the command.
        `timeout_seconds`: Time limit of the command in seconds.
        """
        return self._do(
            "start_task_command",
            task_id=task_id,
            command=command,
            attempt_id=attempt_id,
            cwd=cwd,
            env=None if env is None else dict(env),
            timeout_seconds=timeout_seconds,
        )

    def wait_task(self, task_id: str, sequence: int, *, wait_seconds: float | None = None) -> Payload:
        """Wait for a task's command that was started earlier. After wait_seconds it returns status running, and
        the command keeps running.

        `task_id`: The task's id or name.
        `sequence`: The command's number.
        `wait_seconds`: Return after this many seconds; the command keeps running.
        """
        return self._do("wait_task", task_id=task_id, sequence=sequence, wait_seconds=wait_seconds)

    def read_output_task(
        self,
        task_id: str,
        sequence: int,
        *,
        max_bytes: int = 1048576,
        offset: int = 0,
        stream: str = "stdout",
    ) -> Payload:
        """Read a piece of a task command's stdout or stderr from a byte offset, also while it runs. Continue at
        next_offset until ended.

        `task_id`: The task's id or name.
        `sequence`: The command's number.
        `max_bytes`: Maximum number of bytes.
        `offset`: Byte offset of the piece.
        `stream`: stdout or stderr.
        """
        payload = self._do(
            "read_output_task",
            task_id=task_id,
            sequence=sequence,
            max_bytes=max_bytes,
            offset=offset,
            stream=stream,
            encoding="base64",
        )
        payload["data"] = base64.b64decode(payload["data"])
        return payload

    def cancel_task(self, task_id: str, sequence: int) -> Payload:
        """End a task's running command and all its processes, and return its journal entry. The task stays.

        `task_id`: The task's id or name.
        `sequence`: The command's number.
        """
        return self._do("cancel_task", task_id=task_id, sequence=sequence)

    def status_task(self, task_id: str) -> Payload:
        """Show a task's state, its last command, and why it stopped if it is stopped.

        `task_id`: The task's id or name.
        """
        return self._do("status_task", task_id=task_id)

    def list_tasks(self, *, labels: Mapping[str, str] | None = None) -> Payload:
        """List the tasks of this user, oldest first.

        `labels`: Only tasks with all of these labels.
        """
        return self._do("list_tasks", labels=None if labels is None else dict(labels))

    def logs_task(
        self,
        task_id: str,
        *,
        last: int | None = None,
        max_bytes: int | None = None,
        sequence: int | None = None,
        tail_bytes: int | None = None,
    ) -> Payload:
        """Show every command of a task with status, exit code and output. Long output is cut. sequence selects
        one command, last the last N commands, tail_bytes the end of each stream.

        `task_id`: The task's id or name.
        `last`: Only this many of the last commands.
        `max_bytes`: Maximum number of bytes of each stream; head and tail are kept.
        `sequence`: Only this command.
        `tail_bytes`: Only this many bytes from the end of each stream.
        """
        return self._do(
            "logs_task",
            task_id=task_id,
            last=last,
            max_bytes=max_bytes,
            sequence=sequence,
            tail_bytes=tail_bytes,
        )

    def stop_task(self, task_id: str, *, ttl_seconds: int | None = None) -> Payload:
        """Stop a task's machine. Running commands are cancelled. Its files and journal stay, and it can be
        started again.

        `task_id`: The task's id or name.
        `ttl_seconds`: New time to live from now in seconds, 60 to 604800; 0 keeps it until it is deleted or started again.
        """
        return self._do("stop_task", task_id=task_id, ttl_seconds=ttl_seconds)

    def start_task(self, task_id: str, *, ttl_seconds: int | None = None) -> Payload:
        """Boot a stopped task again with its files and journal.

        `task_id`: The task's id or name.
        `ttl_seconds`: Time to live from now in seconds, 60 to 604800; without it as long as before, or 600.
        """
        return self._do("start_task", task_id=task_id, ttl_seconds=ttl_seconds)

    def update_task(
        self,
        task_id: str,
        *,
        labels: Mapping[str, str] | None = None,
        name: str | None = None,
        remove_labels: Sequence[str] = (),
        remove_name: bool = False,
    ) -> Payload:
        """Change a task's name and labels. What is not named stays.

        `task_id`: The task's id or name.
        `labels`: Labels to set.
        `name`: The task's new name.
        `remove_labels`: Keys of labels to remove.
        `remove_name`: Remove the task's name.
        """
        return self._do(
            "update_task",
            task_id=task_id,
            labels=None if labels is None else dict(labels),
            name=name,
            remove_labels=list(remove_labels),
            remove_name=remove_name,
        )

    def extend_task(self, task_id: str, *, ttl_seconds: int) -> Payload:
        """Set a task's time to live to ttl_seconds, counted from now.

        `task_id`: The task's id or name.
        `ttl_seconds`: Time to live from now in seconds, 60 to 604800.
        """
        return self._do("extend_task", task_id=task_id, ttl_seconds=ttl_seconds)

    def delete_task(self, task_id: str) -> Payload:
        """Delete a task, its workspace and its journal. Running commands are ended.

        `task_id`: The task's id or name.
        """
        return self._do("delete_task", task_id=task_id)

    def list_files(
        self,
        task_id: str,
        *,
        max_entries: int = 1000,
        path: str = "",
        recursive: bool = False,
        root: str = "/workspace",
    ) -> Payload:
        """List a directory of a task, /workspace by default.

        `task_id`: The task's id.
        `max_entries`: Maximum number of entries, 1 to 100000.
        `path`: The directory, below the root.
        `recursive`: Also what is in the directories below.
        `root`: Directory that no path leads out of.
        """
        return self._do(
            "list_files",
            task_id=task_id,
            max_entries=max_entries,
            path=path,
            recursive=recursive,
            root=root,
        )

    def stat_file(self, task_id: str, *, path: str, root: str = "/workspace") -> Payload:
        """Show kind, size, mode and time of a file in a task.

        `task_id`: The task's id.
        `path`: The path, below the root.
        `root`: Directory that no path leads out of.
        """
        return self._do("stat_file", task_id=task_id, path=path, root=root)

    def read_file(
        self,
        task_id: str,
        *,
        path: str,
        max_bytes: int = 1048576,
        offset: int = 0,
        root: str = "/workspace",
    ) -> Payload:
        """Read a file of a task from a byte offset. Continue at next_offset until ended. digest allows a safe
        write.

        `task_id`: The task's id.
        `path`: The file, below the root.
        `max_bytes`: Maximum number of bytes, 1 to 16777216.
        `offset`: Byte offset of the first byte.
        `root`: Directory that no path leads out of.
        """
        payload = self._do(
            "read_file",
            task_id=task_id,
            path=path,
            max_bytes=max_bytes,
            offset=offset,
            root=root,
            encoding="base64",
        )
        payload["data"] = base64.b64decode(payload["data"])
        return payload

    def write_file(
        self,
        task_id: str,
        *,
        path: str,
        content: str | None = None,
        create_parents: bool = True,
        data: str | None = None,
        if_digest: str | None = None,
        mode: str | None = None,
        offset: int | None = None,
        root: str = "/workspace",
    ) -> Payload:
        """Replace a file of a task as a whole, or create it. if_digest refuses when the file has changed since
        it was read.

        `task_id`: The task's id.
        `path`: The file, below the root.
        `content`: The new content, as text.
        `create_parents`: Make missing directories above it.
        `data`: The new content, in base64.
        `if_digest`: SHA-256 of the content that is to be replaced, or absent: refuses when the file is another one.
        `mode`: Permission bits in octal, such as 0755; a replaced file keeps its own, a new one has 0644.
        `offset`: Write over the bytes from here on instead of replacing the file.
        `root`: Directory that no path leads out of.
        """
        return self._do(
            "write_file",
            task_id=task_id,
            path=path,
            content=content,
            create_parents=create_parents,
            data=data,
            if_digest=if_digest,
            mode=mode,
            offset=offset,
            root=root,
        )

    def edit_file(
        self,
        task_id: str,
        *,
        path: str,
        old_text: str,
        new_text: str,
        replace_all: bool = False,
        root: str = "/workspace",
    ) -> Payload:
        """Replace an exact text in a file of a task. It must occur exactly once, unless replace_all is set.
        Refuses when the file changes meanwhile.

        `task_id`: The task's id.
        `path`: The file, below the root.
        `old_text`: The text to replace: exact, with its white space.
        `new_text`: What stands there afterwards.
        `replace_all`: Replace every occurrence; otherwise there must be exactly one.
        `root`: Directory that no path leads out of.
        """
        return self._do(
            "edit_file",
            task_id=task_id,
            path=path,
            old_text=old_text,
            new_text=new_text,
            replace_all=replace_all,
            root=root,
        )

    def make_directory(self, task_id: str, *, path: str, parents: bool = False, root: str = "/workspace") -> Payload:
        """Make a directory in a task.

        `task_id`: The task's id.
        `path`: The directory, below the root.
        `parents`: Make missing directories above it, and accept one that is there.
        `root`: Directory that no path leads out of.
        """
        return self._do("make_directory", task_id=task_id, path=path, parents=parents, root=root)

    def remove_file(self, task_id: str, *, path: str, recursive: bool = False, root: str = "/workspace") -> Payload:
        """Remove a file or a directory in a task.

        `task_id`: The task's id.
        `path`: What is removed, below the root.
        `recursive`: Also a directory with all that is in it.
        `root`: Directory that no path leads out of.
        """
        return self._do("remove_file", task_id=task_id, path=path, recursive=recursive, root=root)

    def move_file(
        self,
        task_id: str,
        *,
        source: str,
        destination: str,
        replace: bool = False,
        root: str = "/workspace",
    ) -> Payload:
        """Give a file or a directory in a task another name.

        `task_id`: The task's id.
        `source`: The old name, below the root.
        `destination`: The new name, below the root.
        `replace`: Replace what has the new name.
        `root`: Directory that no path leads out of.
        """
        return self._do(
            "move_file",
            task_id=task_id,
            source=source,
            destination=destination,
            replace=replace,
            root=root,
        )

    def find_files(
        self,
        task_id: str,
        *,
        glob: str = "",
        kind: str | None = None,
        max_entries: int = 1000,
        path: str = "",
        root: str = "/workspace",
    ) -> Payload:
        """Find files and directories of a task by name.

        `task_id`: The task's id.
        `glob`: Pattern with *, ?, [a-z], {a,b} and **; with a / it is held against the whole path.
        `kind`: file, directory, symlink or other; everything where it is left out.
        `max_entries`: Maximum number of entries, 1 to 100000.
        `path`: The directory to look in, below the root.
        `root`: Directory that no path leads out of.
        """
        return self._do(
            "find_files",
            task_id=task_id,
            glob=glob,
            kind=kind,
            max_entries=max_entries,
            path=path,
            root=root,
        )

    def grep_files(
        self,
        task_id: str,
        *,
        pattern: str,
        fixed: bool = False,
        glob: str = "",
        ignore_case: bool = False,
        max_matches: int = 100,
        path: str = "",
        root: str = "/workspace",
    ) -> Payload:
        """Find lines that fit a regular expression in the files of a task.

        `task_id`: The task's id.
        `pattern`: Regular expression.
        `fixed`: The pattern is plain text.
        `glob`: Only files whose name fits this pattern.
        `ignore_case`: Upper and lower case are the same.
        `max_matches`: Maximum number of matches, 1 to 100000.
        `path`: The file or directory to look in, below the root.
        `root`: Directory that no path leads out of.
        """
        return self._do(
            "grep_files",
            task_id=task_id,
            pattern=pattern,
            fixed=fixed,
            glob=glob,
            ignore_case=ignore_case,
            max_matches=max_matches,
            path=path,
            root=root,
        )

    def push_files(
        self,
        task_id: str,
        *,
        source: str,
        all: bool = False,
        destination: str = "/workspace",
        no_git: bool = False,
    ) -> Payload:
        """Send a directory, a Git checkout or an archive of the host into a task. What is there is replaced
        file by file.

        `task_id`: The task's id.
        `source`: A directory, a Git checkout, or a tar archive (.tar, .tar.gz, .tar.zst) on the host.
        `all`: Of a Git checkout, also the files that Git ignores.
        `destination`: The directory in the task that it goes to; created if it is missing.
        `no_git`: Without the checkout's .git.
        """
        return self._do(
            "push_files",
            task_id=task_id,
            source=source,
            all=all,
            destination=destination,
            no_git=no_git,
        )

    def export_files(self, task_id: str, *, output: str, keep_links: bool = False, path: str = "/workspace") -> Payload:
        """Write a directory of a task to a new directory or an archive on the host.

        `task_id`: The task's id.
        `output`: A new directory on the host, or an archive by its name (.tar, .tar.gz, .tar.zst).
        `keep_links`: Keep symbolic links that lead out of the directory; they are left out otherwise.
        `path`: The directory in the task.
        """
        return self._do("export_files", task_id=task_id, output=output, keep_links=keep_links, path=path)

    def seed_task(self, task_id: str, *, source: str, all: bool = False, no_git: bool = False) -> Payload:
        """Fill a task's empty /workspace with a directory, a Git checkout or an archive of the host. What
        changes from then on can be shown and taken over.

        `task_id`: The task's id.
        `source`: A directory, a Git checkout, or a tar archive (.tar, .tar.gz, .tar.zst) on the host.
        `all`: Of a Git checkout, also the files that Git ignores.
        `no_git`: Without the checkout's .git.
        """
        return self._do("seed_task", task_id=task_id, source=source, all=all, no_git=no_git)

    def diff_task(
        self,
        task_id: str,
        *,
        binary: bool = False,
        form: str = "patch",
        paths: Sequence[str] = (),
    ) -> Payload:
        """Show what changed in a task's workspace since it was seeded, as a Git patch.

        `task_id`: The task's id.
        `binary`: Binary files with their contents, so that the patch can be applied.
        `form`: patch, stat, or names.
        `paths`: Only below these paths.
        """
        return self._do("diff_task", task_id=task_id, binary=binary, form=form, paths=list(paths))

    def apply_task(
        self,
        task_id: str,
        *,
        to: str,
        allow: Sequence[str] = (),
        dry_run: bool = False,
        merge: bool = False,
        only: Sequence[str] = (),
        skip_problems: bool = False,
    ) -> Payload:
        """Take over what changed in a task's workspace into a directory of the host: all of it or nothing.
        Files that are no longer what was seeded are conflicts. undo_apply takes it back.

        `task_id`: The task's id.
        `to`: The directory on the host.
        `allow`: Paths to take although they are refused otherwise, by their exact names.
        `dry_run`: Only say what would be done.
        `merge`: Merge texts that the host has changed as well, with conflict markers.
        `only`: Only paths that fit one of these patterns.
        `skip_problems`: Leave out what is refused or in conflict; otherwise nothing is changed then.
        """
        return self._do(
            "apply_task",
            task_id=task_id,
            to=to,
            allow=list(allow),
            dry_run=dry_run,
            merge=merge,
            only=list(only),
            skip_problems=skip_problems,
        )

    def undo_apply(self, task_id: str, *, number: int | None = None) -> Payload:
        """Put the files back as they were before apply_task. Files that were changed since are left as they
        are.

        `task_id`: The task's id.
        `number`: The number of the application; the last one where it is left out.
        """
        return self._do("undo_apply", task_id=task_id, number=number)

    def repair(self, *, apply: bool = False, delete: Sequence[str] = ()) -> Payload:
        """Find damage in pyro's own files; with apply, repair it where possible. Removes only what delete names
        by its full id.

        `apply`: Make the proposed repairs; without it they are only shown.
        `delete`: With apply, remove these VMs, tasks or left-over directories permanently (full ids).
        """
        return self._do("repair", apply=apply, delete=list(delete))


class AsyncOperations:
    """Every operation, for asyncio."""

    async def _do(self, operation: str, stdin: str | bytes | None = None, **arguments: Any) -> Payload:
        raise NotImplementedError

    async def run_in_vm(
        self,
        *,
        environment: str,
        command: str,
        allow_host_compat: bool = False,
        mem_mib: int = 1024,
        network: bool = False,
        stdin: str | bytes | None = None,
        timeout_seconds: float = 30,
        ttl_seconds: int | None = None,
        vcpu_count: int = 1,
    ) -> Payload:
        """Run one shell command in a fresh, isolated Linux VM and return its output and exit code. The VM and
        its files are removed afterwards. First choice for a single command. Exit code 124 means
        timeout_seconds was reached.

        `environment`: such as debian:12.
        `command`: The command, for the shell.
        `allow_host_compat`: Allow commands to run on this host when no guest can run.
        `mem_mib`: Memory in MiB, 256 to 32768.
        `network`: Allow outgoing connections from the guest.
        `stdin`: The command's input.
        `timeout_seconds`: Time limit of the command in seconds.
        `ttl_seconds`: Time to live of the machine in seconds, 60 to 604800.
        `vcpu_count`: Virtual processors, 1 to 8.
        """
        return await self._do(
            "run_in_vm",
            stdin,
            environment=environment,
            command=command,
            allow_host_compat=allow_host_compat,
            mem_mib=mem_mib,
            network=network,
            timeout_seconds=timeout_seconds,
            ttl_seconds=ttl_seconds,
            vcpu_count=vcpu_count,
        )

    async def list_environments(self) -> Payload:
        """List the environments (root file systems) for VMs and tasks, and whether each is installed. debian:12
        has bash, git, perl and the core tools, but no python3 and no curl; debian:12-build adds python3,
        gcc, g++, make and cmake."""
        return await self._do("list_environments")

    async def pull_environment(self, environment: str) -> Payload:
        """Install an environment. Safe to call again.

        `environment`: such as debian:12.
        """
        return await self._do("pull_environment", environment=environment)

    async def inspect_environment(self, environment: str) -> Payload:
        """Show an environment's details.

        `environment`: such as debian:12.
        """
        return await self._do("inspect_environment", environment=environment)

    async def prune_environments(self) -> Payload:
        """Remove environment files that this release does not use."""
        return await self._do("prune_environments")

    async def create_vm(
        self,
        *,
        environment: str,
        allow_host_compat: bool = False,
        attempt_id: str | None = None,
        mem_mib: int = 1024,
        network: bool = False,
        ttl_seconds: int = 600,
        vcpu_count: int = 1,
    ) -> Payload:
        """Create a VM without starting it, for callers that control each step: then start it and run its one
        command. Prefer a run, which is one step.

        `environment`: such as debian:12.
        `allow_host_compat`: Allow commands to run on this host when no guest can run.
        `attempt_id`: A repeated attempt_id returns the same VM.
        `mem_mib`: Memory in MiB, 256 to 32768.
        `network`: Allow outgoing connections from the guest.
        `ttl_seconds`: Time to live in seconds, 60 to 604800.
        `vcpu_count`: Virtual processors, 1 to 8.
        """
        return await self._do(
            "create_vm",
            environment=environment,
            allow_host_compat=allow_host_compat,
            attempt_id=attempt_id,
            mem_mib=mem_mib,
            network=network,
            ttl_seconds=ttl_seconds,
            vcpu_count=vcpu_count,
        )

    async def start_vm(self, vm_id: str) -> Payload:
        """Start a created or stopped VM.

        `vm_id`: The VM's id.
        """
        return await self._do("start_vm", vm_id=vm_id)

    async def exec_vm(
        self,
        vm_id: str,
        *,
        command: str,
        stdin: str | bytes | None = None,
        timeout_seconds: float = 30,
    ) -> Payload:
        """Run one shell command in a started VM, then delete the VM, even if the command fails. For several
        commands use a task.

        `vm_id`: The VM's id.
        `command`: The command, for the shell.
        `stdin`: The command's input.
        `timeout_seconds`: Time limit of the command in seconds.
        """
        return await self._do("exec_vm", stdin, vm_id=vm_id, command=command, timeout_seconds=timeout_seconds)

    async def stop_vm(self, vm_id: str) -> Payload:
        """Stop a VM. Its disk is kept, and it can be started again.

        `vm_id`: The VM's id.
        """
        return await self._do("stop_vm", vm_id=vm_id)

    async def delete_vm(self, vm_id: str) -> Payload:
        """Delete a VM in any state, and its disk.

        `vm_id`: The VM's id.
        """
        return await self._do("delete_vm", vm_id=vm_id)

    async def status_vm(self, vm_id: str) -> Payload:
        """Show a VM's state and limits.

        `vm_id`: The VM's id.
        """
        return await self._do("status_vm", vm_id=vm_id)

    async def network_info_vm(self, vm_id: str) -> Payload:
        """Show whether a VM has a network, and its addresses.

        `vm_id`: The VM's id.
        """
        return await self._do("network_info_vm", vm_id=vm_id)

    async def reap_expired(self) -> Payload:
        """Remove expired VMs and tasks now. They are also removed automatically."""
        return await self._do("reap_expired")

    async def create_task(
        self,
        *,
        environment: str,
        allow_host_compat: bool = False,
        attempt_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        mem_mib: int = 1024,
        name: str | None = None,
        network: bool = False,
        ttl_seconds: int = 600,
        vcpu_count: int = 1,
    ) -> Payload:
        """Create a task: an isolated Linux VM that stays and keeps its files in /workspace, for several
        commands. Delete it when done. A repeated attempt_id returns the same task.

        `environment`: such as debian:12.
        `allow_host_compat`: Allow commands to run on this host when no guest can run.
        `attempt_id`: A repeated attempt_id returns the same task.
        `labels`: Labels to list tasks by.
        `mem_mib`: Memory in MiB, 256 to 32768.
        `name`: A name for the task, which can be used instead of its id.
        `network`: Allow outgoing connections from the guest.
        `ttl_seconds`: Time to live in seconds, 60 to 604800.
        `vcpu_count`: Virtual processors, 1 to 8.
        """
        return await self._do(
            "create_task",
            environment=environment,
            allow_host_compat=allow_host_compat,
            attempt_id=attempt_id,
            labels=None if labels is None else dict(labels),
            mem_mib=mem_mib,
            name=name,
            network=network,
            ttl_seconds=ttl_seconds,
            vcpu_count=vcpu_count,
        )

    async def exec_task(
        self,
        task_id: str,
        *,
        command: str,
        attempt_id: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        timeout_seconds: float = 30,
        wait_seconds: float | None = None,
    ) -> Payload:
        """Run a shell command in a task's /workspace, or in cwd. After wait_seconds it returns status running
        with the command's sequence, and the command keeps running. A repeated attempt_id does not run it
        again.

        `task_id`: The task's id or name.
        `command`: The command, for the shell.
        `attempt_id`: A repeated attempt_id does not run the command again.
        `cwd`: Working directory: an absolute path, or a path below /workspace.
        `env`: Environment variables for the command.
        `stdin`: The command's input.
        `timeout_seconds`: Time limit of the command in seconds.
        `wait_seconds`: Return after this many seconds; the command keeps running.
        """
        return await self._do(
            "exec_task",
            stdin,
            task_id=task_id,
            command=command,
            attempt_id=attempt_id,
            cwd=cwd,
            env=None if env is None else dict(env),
            timeout_seconds=timeout_seconds,
            wait_seconds=wait_seconds,
        )

    async def start_task_command(
        self,
        task_id: str,
        *,
        command: str,
        attempt_id: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_seconds: float = 30,
    ) -> Payload:
        """Start a command in a task and return its sequence at once.

        `task_id`: The task's id or name.
        `command`: The command, for the shell.
        `attempt_id`: A repeated attempt_id does not run the command again.
        `cwd`: Working directory: an absolute path, or a path below /workspace.
        `env`: Environment variables for the command.
        `timeout_seconds`: Time limit of the command in seconds.
        """
        return await self._do(
            "start_task_command",
            task_id=task_id,
            command=command,
            attempt_id=attempt_id,
            cwd=cwd,
            env=None if env is None else dict(env),
            timeout_seconds=timeout_seconds,
        )

    async def wait_task(self, task_id: str, sequence: int, *, wait_seconds: float | None = None) -> Payload:
        """Wait for a task's command that was started earlier. After wait_seconds it returns status running, and
        the command keeps running.

        `task_id`: The task's id or name.
        `sequence`: The command's number.
        `wait_seconds`: Return after this many seconds; the command keeps running.
        """
        return await self._do("wait_task", task_id=task_id, sequence=sequence, wait_seconds=wait_seconds)

    async def read_output_task(
        self,
        task_id: str,
        sequence: int,
        *,
        max_bytes: int = 1048576,
        offset: int = 0,
        stream: str = "stdout",
    ) -> Payload:
        """Read a piece of a task command's stdout or stderr from a byte offset, also while it runs. Continue at
        next_offset until ended.

        `task_id`: The task's id or name.
        `sequence`: The command's number.
        `max_bytes`: Maximum number of bytes.
        `offset`: Byte offset of the piece.
        `stream`: stdout or stderr.
        """
        payload = await self._do(
            "read_output_task",
            task_id=task_id,
            sequence=sequence,
            max_bytes=max_bytes,
            offset=offset,
            stream=stream,
            encoding="base64",
        )
        payload["data"] = base64.b64decode(payload["data"])
        return payload

    async def cancel_task(self, task_id: str, sequence: int) -> Payload:
        """End a task's running command and all its processes, and return its journal entry. The task stays.

        `task_id`: The task's id or name.
        `sequence`: The command's number.
        """
        return await self._do("cancel_task", task_id=task_id, sequence=sequence)

    async def status_task(self, task_id: str) -> Payload:
        """Show a task's state, its last command, and why it stopped if it is stopped.

        `task_id`: The task's id or name.
        """
        return await self._do("status_task", task_id=task_id)

    async def list_tasks(self, *, labels: Mapping[str, str] | None = None) -> Payload:
        """List the tasks of this user, oldest first.

        `labels`: Only tasks with all of these labels.
        """
        return await self._do("list_tasks", labels=None if labels is None else dict(labels))

    async def logs_task(
        self,
        task_id: str,
        *,
        last: int | None = None,
        max_bytes: int | None = None,
        sequence: int | None = None,
        tail_bytes: int | None = None,
    ) -> Payload:
        """Show every command of a task with status, exit code and output. Long output is cut. sequence selects
        one command, last the last N commands, tail_bytes the end of each stream.

        `task_id`: The task's id or name.
        `last`: Only this many of the last commands.
        `max_bytes`: Maximum number of bytes of each stream; head and tail are kept.
        `sequence`: Only this command.
        `tail_bytes`: Only this many bytes from the end of each stream.
        """
        return await self._do(
            "logs_task",
            task_id=task_id,
            last=last,
            max_bytes=max_bytes,
            sequence=sequence,
            tail_bytes=tail_bytes,
        )

    async def stop_task(self, task_id: str, *, ttl_seconds: int | None = None) -> Payload:
        """Stop a task's machine. Running commands are cancelled. Its files and journal stay, and it can be
        started again.

        `task_id`: The task's id or name.
        `ttl_seconds`: New time to live from now in seconds, 60 to 604800; 0 keeps it until it is deleted or started again.
        """
        return await self._do("stop_task", task_id=task_id, ttl_seconds=ttl_seconds)

    async def start_task(self, task_id: str, *, ttl_seconds: int | None = None) -> Payload:
        """Boot a stopped task again with its files and journal.

        `task_id`: The task's id or name.
        `ttl_seconds`: Time to live from now in seconds, 60 to 604800; without it as long as before, or 600.
        """
        return await self._do("start_task", task_id=task_id, ttl_seconds=ttl_seconds)

    async def update_task(
        self,
        task_id: str,
        *,
        labels: Mapping[str, str] | None = None,
        name: str | None = None,
        remove_labels: Sequence[str] = (),
        remove_name: bool = False,
    ) -> Payload:
        """Change a task's name and labels. What is not named stays.

        `task_id`: The task's id or name.
        `labels`: Labels to set.
        `name`: The task's new name.
        `remove_labels`: Keys of labels to remove.
        `remove_name`: Remove the task's name.
        """
        return await self._do(
            "update_task",
            task_id=task_id,
            labels=None if labels is None else dict(labels),
            name=name,
            remove_labels=list(remove_labels),
            remove_name=remove_name,
        )

    async def extend_task(self, task_id: str, *, ttl_seconds: int) -> Payload:
        """Set a task's time to live to ttl_seconds, counted from now.

        `task_id`: The task's id or name.
        `ttl_seconds`: Time to live from now in seconds, 60 to 604800.
        """
        return await self._do("extend_task", task_id=task_id, ttl_seconds=ttl_seconds)

    async def delete_task(self, task_id: str) -> Payload:
        """Delete a task, its workspace and its journal. Running commands are ended.

        `task_id`: The task's id or name.
        """
        return await self._do("delete_task", task_id=task_id)

    async def list_files(
        self,
        task_id: str,
        *,
        max_entries: int = 1000,
        path: str = "",
        recursive: bool = False,
        root: str = "/workspace",
    ) -> Payload:
        """List a directory of a task, /workspace by default.

        `task_id`: The task's id.
        `max_entries`: Maximum number of entries, 1 to 100000.
        `path`: The directory, below the root.
        `recursive`: Also what is in the directories below.
        `root`: Directory that no path leads out of.
        """
        return await self._do(
            "list_files",
            task_id=task_id,
            max_entries=max_entries,
            path=path,
            recursive=recursive,
            root=root,
        )

    async def stat_file(self, task_id: str, *, path: str, root: str = "/workspace") -> Payload:
        """Show kind, size, mode and time of a file in a task.

        `task_id`: The task's id.
        `path`: The path, below the root.
        `root`: Directory that no path leads out of.
        """
        return await self._do("stat_file", task_id=task_id, path=path, root=root)

    async def read_file(
        self,
        task_id: str,
        *,
        path: str,
        max_bytes: int = 1048576,
        offset: int = 0,
        root: str = "/workspace",
    ) -> Payload:
        """Read a file of a task from a byte offset. Continue at next_offset until ended. digest allows a safe
        write.

        `task_id`: The task's id.
        `path`: The file, below the root.
        `max_bytes`: Maximum number of bytes, 1 to 16777216.
        `offset`: Byte offset of the first byte.
        `root`: Directory that no path leads out of.
        """
        payload = await self._do(
            "read_file",
            task_id=task_id,
            path=path,
            max_bytes=max_bytes,
            offset=offset,
            root=root,
            encoding="base64",
        )
        payload["data"] = base64.b64decode(payload["data"])
        return payload

    async def write_file(
        self,
        task_id: str,
        *,
        path: str,
        content: str | None = None,
        create_parents: bool = True,
        data: str | None = None,
        if_digest: str | None = None,
        mode: str | None = None,
        offset: int | None = None,
        root: str = "/workspace",
    ) -> Payload:
        """Replace a file of a task as a whole, or create it. if_digest refuses when the file has changed since
        it was read.

        `task_id`: The task's id.
        `path`: The file, below the root.
        `content`: The new content, as text.
        `create_parents`: Make missing directories above it.
        `data`: The new content, in base64.
        `if_digest`: SHA-256 of the content that is to be replaced, or absent: refuses when the file is another one.
        `mode`: Permission bits in octal, such as 0755; a replaced file keeps its own, a new one has 0644.
        `offset`: Write over the bytes from here on instead of replacing the file.
        `root`: Directory that no path leads out of.
        """
        return await self._do(
            "write_file",
            task_id=task_id,
            path=path,
            content=content,
            create_parents=create_parents,
            data=data,
            if_digest=if_digest,
            mode=mode,
            offset=offset,
            root=root,
        )

    async def edit_file(
        self,
        task_id: str,
        *,
        path: str,
        old_text: str,
        new_text: str,
        replace_all: bool = False,
        root: str = "/workspace",
    ) -> Payload:
        """Replace an exact text in a file of a task. It must occur exactly once, unless replace_all is set.
        Refuses when the file changes meanwhile.

        `task_id`: The task's id.
        `path`: The file, below the root.
        `old_text`: The text to replace: exact, with its white space.
        `new_text`: What stands there afterwards.
        `replace_all`: Replace every occurrence; otherwise there must be exactly one.
        `root`: Directory that no path leads out of.
        """
        return await self._do(
            "edit_file",
            task_id=task_id,
            path=path,
            old_text=old_text,
            new_text=new_text,
            replace_all=replace_all,
            root=root,
        )

    async def make_directory(
        self,
        task_id: str,
        *,
        path: str,
        parents: bool = False,
        root: str = "/workspace",
    ) -> Payload:
        """Make a directory in a task.

        `task_id`: The task's id.
        `path`: The directory, below the root.
        `parents`: Make missing directories above it, and accept one that is there.
        `root`: Directory that no path leads out of.
        """
        return await self._do("make_directory", task_id=task_id, path=path, parents=parents, root=root)

    async def remove_file(
        self,
        task_id: str,
        *,
        path: str,
        recursive: bool = False,
        root: str = "/workspace",
    ) -> Payload:
        """Remove a file or a directory in a task.

        `task_id`: The task's id.
        `path`: What is removed, below the root.
        `recursive`: Also a directory with all that is in it.
        `root`: Directory that no path leads out of.
        """
        return await self._do("remove_file", task_id=task_id, path=path, recursive=recursive, root=root)

    async def move_file(
        self,
        task_id: str,
        *,
        source: str,
        destination: str,
        replace: bool = False,
        root: str = "/workspace",
    ) -> Payload:
        """Give a file or a directory in a task another name.

        `task_id`: The task's id.
        `source`: The old name, below the root.
        `destination`: The new name, below the root.
        `replace`: Replace what has the new name.
        `root`: Directory that no path leads out of.
        """
        return await self._do(
            "move_file",
            task_id=task_id,
            source=source,
            destination=destination,
            replace=replace,
            root=root,
        )

    async def find_files(
        self,
        task_id: str,
        *,
        glob: str = "",
        kind: str | None = None,
        max_entries: int = 1000,
        path: str = "",
        root: str = "/workspace",
    ) -> Payload:
        """Find files and directories of a task by name.

        `task_id`: The task's id.
        `glob`: Pattern with *, ?, [a-z], {a,b} and **; with a / it is held against the whole path.
        `kind`: file, directory, symlink or other; everything where it is left out.
        `max_entries`: Maximum number of entries, 1 to 100000.
        `path`: The directory to look in, below the root.
        `root`: Directory that no path leads out of.
        """
        return await self._do(
            "find_files",
            task_id=task_id,
            glob=glob,
            kind=kind,
            max_entries=max_entries,
            path=path,
            root=root,
        )

    async def grep_files(
        self,
        task_id: str,
        *,
        pattern: str,
        fixed: bool = False,
        glob: str = "",
        ignore_case: bool = False,
        max_matches: int = 100,
        path: str = "",
        root: str = "/workspace",
    ) -> Payload:
        """Find lines that fit a regular expression in the files of a task.

        `task_id`: The task's id.
        `pattern`: Regular expression.
        `fixed`: The pattern is plain text.
        `glob`: Only files whose name fits this pattern.
        `ignore_case`: Upper and lower case are the same.
        `max_matches`: Maximum number of matches, 1 to 100000.
        `path`: The file or directory to look in, below the root.
        `root`: Directory that no path leads out of.
        """
        return await self._do(
            "grep_files",
            task_id=task_id,
            pattern=pattern,
            fixed=fixed,
            glob=glob,
            ignore_case=ignore_case,
            max_matches=max_matches,
            path=path,
            root=root,
        )

    async def push_files(
        self,
        task_id: str,
        *,
        source: str,
        all: bool = False,
        destination: str = "/workspace",
        no_git: bool = False,
    ) -> Payload:
        """Send a directory, a Git checkout or an archive of the host into a task. What is there is replaced
        file by file.

        `task_id`: The task's id.
        `source`: A directory, a Git checkout, or a tar archive (.tar, .tar.gz, .tar.zst) on the host.
        `all`: Of a Git checkout, also the files that Git ignores.
        `destination`: The directory in the task that it goes to; created if it is missing.
        `no_git`: Without the checkout's .git.
        """
        return await self._do(
            "push_files",
            task_id=task_id,
            source=source,
            all=all,
            destination=destination,
            no_git=no_git,
        )

    async def export_files(
        self,
        task_id: str,
        *,
        output: str,
        keep_links: bool = False,
        path: str = "/workspace",
    ) -> Payload:
        """Write a directory of a task to a new directory or an archive on the host.

        `task_id`: The task's id.
        `output`: A new directory on the host, or an archive by its name (.tar, .tar.gz, .tar.zst).
        `keep_links`: Keep symbolic links that lead out of the directory; they are left out otherwise.
        `path`: The directory in the task.
        """
        return await self._do("export_files", task_id=task_id, output=output, keep_links=keep_links, path=path)

    async def seed_task(self, task_id: str, *, source: str, all: bool = False, no_git: bool = False) -> Payload:
        """Fill a task's empty /workspace with a directory, a Git checkout or an archive of the host. What
        changes from then on can be shown and taken over.

        `task_id`: The task's id.
        `source`: A directory, a Git checkout, or a tar archive (.tar, .tar.gz, .tar.zst) on the host.
        `all`: Of a Git checkout, also the files that Git ignores.
        `no_git`: Without the checkout's .git.
        """
        return await self._do("seed_task", task_id=task_id, source=source, all=all, no_git=no_git)

    async def diff_task(
        self,
        task_id: str,
        *,
        binary: bool = False,
        form: str = "patch",
        paths: Sequence[str] = (),
    ) -> Payload:
        """Show what changed in a task's workspace since it was seeded, as a Git patch.

        `task_id`: The task's id.
        `binary`: Binary files with their contents, so that the patch can be applied.
        `form`: patch, stat, or names.
        `paths`: Only below these paths.
        """
        return await self._do("diff_task", task_id=task_id, binary=binary, form=form, paths=list(paths))

    async def apply_task(
        self,
        task_id: str,
        *,
        to: str,
        allow: Sequence[str] = (),
        dry_run: bool = False,
        merge: bool = False,
        only: Sequence[str] = (),
        skip_problems: bool = False,
    ) -> Payload:
        """Take over what changed in a task's workspace into a directory of the host: all of it or nothing.
        Files that are no longer what was seeded are conflicts. undo_apply takes it back.

        `task_id`: The task's id.
        `to`: The directory on the host.
        `allow`: Paths to take although they are refused otherwise, by their exact names.
        `dry_run`: Only say what would be done.
        `merge`: Merge texts that the host has changed as well, with conflict markers.
        `only`: Only paths that fit one of these patterns.
        `skip_problems`: Leave out what is refused or in conflict; otherwise nothing is changed then.
        """
        return await self._do(
            "apply_task",
            task_id=task_id,
            to=to,
            allow=list(allow),
            dry_run=dry_run,
            merge=merge,
            only=list(only),
            skip_problems=skip_problems,
        )

    async def undo_apply(self, task_id: str, *, number: int | None = None) -> Payload:
        """Put the files back as they were before apply_task. Files that were changed since are left as they
        are.

        `task_id`: The task's id.
        `number`: The number of the application; the last one where it is left out.
        """
        return await self._do("undo_apply", task_id=task_id, number=number)

    async def repair(self, *, apply: bool = False, delete: Sequence[str] = ()) -> Payload:
        """Find damage in pyro's own files; with apply, repair it where possible. Removes only what delete names
        by its full id.

        `apply`: Make the proposed repairs; without it they are only shown.
        `delete`: With apply, remove these VMs, tasks or left-over directories permanently (full ids).
        """
        return await self._do("repair", apply=apply, delete=list(delete))
