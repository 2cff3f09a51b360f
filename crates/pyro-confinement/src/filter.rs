//! The seccomp filter: refuses system calls that QEMU does not need but an escape would.
//!
//! It lists the refused calls, not the allowed ones: the calls that a QEMU makes depend on how it and its C
//! library were built, and a missing call would end it. QEMU's own filter (`-sandbox`) and the
//! other layers stand beside it.
//!
//! Executing a program is not refused here, because the filter is there before QEMU is. What can be
//! executed is decided by Landlock and the root.

use pyro_sys::launch::Instruction;

/// Offsets in the kernel's `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT_LOW: u32 = 16;
/// `AUDIT_ARCH_X86_64`.
const X86_64: u32 = 0xc000_003e;
/// Numbers from here on are of the x32 interface: the same calls by other numbers.
const X32: u32 = 0x4000_0000;

const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

/// Refused with EPERM.
#[rustfmt::skip]
const REFUSED: &[libc::c_long] = &[
    // Another process.
    libc::SYS_fork, libc::SYS_vfork, libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev,
    libc::SYS_kcmp, libc::SYS_pidfd_open, libc::SYS_pidfd_getfd, libc::SYS_pidfd_send_signal, libc::SYS_kill,
    libc::SYS_rt_sigqueueinfo, libc::SYS_process_madvise, libc::SYS_process_mrelease,
    // The network and other programs' sockets: a machine has its sockets when it starts.
    libc::SYS_socket, libc::SYS_connect, libc::SYS_bind, libc::SYS_listen,
    // Other namespaces and roots.
    libc::SYS_unshare, libc::SYS_setns, libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root,
    libc::SYS_chroot, libc::SYS_open_tree, libc::SYS_move_mount, libc::SYS_fsopen, libc::SYS_fsmount,
    libc::SYS_fspick, libc::SYS_fsconfig, libc::SYS_mount_setattr, libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at, libc::SYS_fanotify_init, libc::SYS_quotactl, libc::SYS_swapon, libc::SYS_swapoff,
    // Other users and groups.
    libc::SYS_setuid, libc::SYS_setgid, libc::SYS_setreuid, libc::SYS_setregid, libc::SYS_setresuid,
    libc::SYS_setresgid, libc::SYS_setgroups, libc::SYS_setfsuid, libc::SYS_setfsgid, libc::SYS_capset,
    // Direct access to the kernel.
    libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_userfaultfd, libc::SYS_io_uring_setup,
    libc::SYS_io_uring_register, libc::SYS_io_uring_enter, libc::SYS_keyctl, libc::SYS_add_key,
    libc::SYS_request_key, libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module,
    libc::SYS_kexec_load, libc::SYS_kexec_file_load, libc::SYS_reboot, libc::SYS_acct, libc::SYS_syslog,
    libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt, libc::SYS_settimeofday, libc::SYS_clock_settime,
    libc::SYS_clock_adjtime, libc::SYS_adjtimex, libc::SYS_sethostname, libc::SYS_setdomainname,
    libc::SYS_personality, libc::SYS_lookup_dcookie, libc::SYS_vhangup, libc::SYS_uselib, libc::SYS_ustat,
    libc::SYS_sysfs, libc::SYS__sysctl, libc::SYS_nfsservctl, libc::SYS_mknod, libc::SYS_mknodat,
];

/// The program, for [`pyro_sys::launch::Step::Seccomp`].
pub fn program() -> Vec<Instruction> {
    let mut program = vec![
        load(ARCHITECTURE),
        jump(libc::BPF_JEQ, X86_64, 1, 0),
        answer(KILL),
        load(NUMBER),
        jump(libc::BPF_JGE, X32, 0, 1),
        answer(error(libc::EPERM)),
        // Its flags are behind a pointer, where a filter cannot look; the C library then takes the
        // older call.
        jump(libc::BPF_JEQ, libc::SYS_clone3 as u32, 0, 1),
        answer(error(libc::ENOSYS)),
        // A thread is allowed, a process is not.
        jump(libc::BPF_JEQ, libc::SYS_clone as u32, 0, 4),
        load(FIRST_ARGUMENT_LOW),
        jump(libc::BPF_JSET, libc::CLONE_THREAD as u32, 1, 0),
        answer(error(libc::EPERM)),
        answer(ALLOW),
    ];
    for number in REFUSED {
        program.extend([jump(libc::BPF_JEQ, *number as u32, 0, 1), answer(error(libc::EPERM))]);
    }
    program.push(answer(ALLOW));
    program
}

fn load(offset: u32) -> Instruction {
    let code = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    Instruction { code, jump_if: 0, jump_else: 0, operand: offset }
}

fn jump(comparison: u32, operand: u32, jump_if: u8, jump_else: u8) -> Instruction {
    Instruction { code: (libc::BPF_JMP | comparison | libc::BPF_K) as u16, jump_if, jump_else, operand }
}

fn answer(what: u32) -> Instruction {
    Instruction { code: (libc::BPF_RET | libc::BPF_K) as u16, jump_if: 0, jump_else: 0, operand: what }
}

fn error(number: libc::c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | number as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter answers: the kernel's own rules for these few instructions.
    fn run(architecture: u32, number: u32, argument: u32) -> u32 {
        let (program, mut loaded, mut at) = (program(), 0, 0);
        loop {
            let Instruction { code, jump_if, jump_else, operand } = program[at];
            at += 1;
            let code = u32::from(code);
            let holds = match code & !(libc::BPF_JMP | libc::BPF_K) {
                _ if code == libc::BPF_RET | libc::BPF_K => return operand,
                _ if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    loaded = match operand {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        _ => argument,
                    };
                    continue;
                }
                libc::BPF_JEQ => loaded == operand,
                libc::BPF_JGE => loaded >= operand,
                libc::BPF_JSET => loaded & operand != 0,
                other => panic!("{other}"),
            };
            at += usize::from(if holds { jump_if } else { jump_else });
        }
    }

    #[test]
    fn threads_are_made_and_processes_are_not() {
        let clone = |flags: i32| run(X86_64, libc::SYS_clone as u32, flags as u32);
        assert_eq!(clone(libc::CLONE_VM | libc::CLONE_THREAD), ALLOW);
        assert_eq!(clone(libc::CLONE_VM | libc::CLONE_VFORK), error(libc::EPERM));
        assert_eq!(run(X86_64, libc::SYS_clone3 as u32, 0), error(libc::ENOSYS));
        assert_eq!(run(X86_64, libc::SYS_fork as u32, 0), error(libc::EPERM));
    }

    #[test]
    fn every_refused_call_is_refused_by_its_other_number_too() {
        for number in REFUSED {
            assert_eq!(run(X86_64, *number as u32, 0), error(libc::EPERM), "{number}");
            assert_eq!(run(X86_64, *number as u32 | X32, 0), error(libc::EPERM), "{number}");
        }
    }

    #[test]
    fn the_rest_is_allowed_and_another_architecture_ends_the_process() {
        for number in [libc::SYS_read, libc::SYS_mmap, libc::SYS_futex, libc::SYS_execve, libc::SYS_tgkill] {
            assert_eq!(run(X86_64, number as u32, 0), ALLOW, "{number}");
        }
        assert_eq!(run(0x4000_0003, libc::SYS_read as u32, 0), KILL, "32-bit calls");
    }
}
