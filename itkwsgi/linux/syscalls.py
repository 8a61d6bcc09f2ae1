"""The numbers of the system calls that our filters name, for each machine they can be made on.  Server only.

Two columns: x86_64 has numbers of its own; aarch64, riscv64 and loongarch64 share the kernel's generic table.  Calls
from 424 on have one number everywhere.  Where a column is empty that machine has no such call (``open`` became
``openat``), and where a machine lacks one that its column has, the kernel says ENOSYS after the filter.
All are 64-bit and little-endian.  Sources: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h
and scripts/syscall.tbl, include/uapi/linux/audit.h; Linux 6.18.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from itkwsgi.errors import OperatorError

# The newest call of the kernel that these tables were made from (file_setattr).
NEWEST = 469

# name:x86_64:generic
_OLDER = """
    accept:43:202 accept4:288:242 access:21: bpf:321:280 brk:12:214 chroot:161:51 clock_getres:229:114
    clock_gettime:228:113 clock_nanosleep:230:115 clone:56:220 close:3:57 connect:42:203 delete_module:176:106
    dup:32:23 dup2:33: dup3:292:24 epoll_create:213: epoll_create1:291:20 epoll_ctl:233:21 epoll_pwait:281:22
    epoll_wait:232: eventfd2:290:19 execve:59:221 execveat:322:281 exit:60:93 exit_group:231:94 faccessat:269:48
    fcntl:72:25 finit_module:313:273 fork:57: fstat:5:80 futex:202:98 getcpu:309:168 getcwd:79:17 getdents64:217:61
    getegid:108:177 geteuid:107:175 getgid:104:176 getgroups:115:158 getpeername:52:205 getpid:39:172 getppid:110:173
    getrandom:318:278 getresgid:120:150 getresuid:118:148 getrlimit:97:163 getrusage:98:165 getsockname:51:204
    getsockopt:55:209 gettid:186:178 gettimeofday:96:169 getuid:102:174 init_module:175:105 ioctl:16:29 kcmp:312:272
    kexec_file_load:320:294 kexec_load:246:104 listen:50:201 lseek:8:62 lstat:6: madvise:28:233 mmap:9:222
    mount:165:40 mprotect:10:226 mremap:25:216 munmap:11:215 nanosleep:35:101 newfstatat:262:79 open:2:
    open_by_handle_at:304:265 openat:257:56 perf_event_open:298:241 pipe:22: pipe2:293:59 pivot_root:155:41 poll:7:
    ppoll:271:73 prctl:157:167 pread64:17:67 preadv:295:69 preadv2:327:286 prlimit64:302:261 process_vm_readv:310:270
    process_vm_writev:311:271 pselect6:270:72 ptrace:101:117 pwrite64:18:68 pwritev:296:70 pwritev2:328:287 read:0:63
    readlink:89: readlinkat:267:78 readv:19:65 recvfrom:45:207 recvmmsg:299:243 recvmsg:47:212 restart_syscall:219:128
    rseq:334:293 rt_sigaction:13:134 rt_sigpending:127:136 rt_sigprocmask:14:135 rt_sigreturn:15:139
    rt_sigtimedwait:128:137 sched_getaffinity:204:123 sched_yield:24:124 select:23: sendmmsg:307:269 sendmsg:46:211
    sendto:44:206 set_robust_list:273:99 setfsgid:123:152 setfsuid:122:151 setgid:106:144 setns:308:268
    setregid:114:143 setresgid:119:149 setresuid:117:147 setreuid:113:145 setsockopt:54:208 setuid:105:146
    shutdown:48:210 sigaltstack:131:132 socket:41:198 socketpair:53:199 stat:4: statx:332:291 sysinfo:99:179 time:201:
    times:100:153 umount2:166:39 uname:63:160 unlink:87: unlinkat:263:35 unshare:272:97 userfaultfd:323:282 vfork:58:
    write:1:64 writev:20:66
"""

# name:everywhere
_NEWER = """
    io_uring_setup:425 io_uring_enter:426 io_uring_register:427 open_tree:428 move_mount:429 fsopen:430 fsconfig:431
    fsmount:432 fspick:433 clone3:435 pidfd_getfd:438 faccessat2:439 epoll_pwait2:441 mount_setattr:442 futex_waitv:449
    futex_wake:454 futex_wait:455 futex_requeue:456 open_tree_attr:467
"""

_X86_64, _GENERIC = 1, 2


class Machine(NamedTuple):
    """A kind of processor: ``name`` as uname(2) has it, ``audit`` as seccomp(2) has it (AUDIT_ARCH_*), its column here.

    ``second_set``: the lowest number of another set of calls for the same processor (x32: pointers of 32 bits), if any.
    """

    name: str
    audit: int
    column: int
    second_set: int | None = None

    def numbers(self) -> dict[str, int | None]:
        """The number of each call in the tables; None where this machine has no such call."""
        found: dict[str, int | None] = {}
        for entry in _OLDER.split():
            fields = entry.split(":")
            found[fields[0]] = int(fields[self.column]) if fields[self.column] else None
        for entry in _NEWER.split():
            name, number = entry.split(":")
            found[name] = int(number)
        return found


MACHINES = (
    Machine("x86_64", 0xC000003E, _X86_64, 0x40000000),
    Machine("aarch64", 0xC00000B7, _GENERIC),
    Machine("riscv64", 0xC00000F3, _GENERIC),
    Machine("loongarch64", 0xC0000102, _GENERIC),
)


def this_machine() -> Machine:
    """What this interpreter runs on.  Raises `OperatorError` when filters cannot be made for it."""
    name = os.uname().machine
    for machine in MACHINES:
        if machine.name == name and sys.maxsize > 2**32:
            return machine
    known = ", ".join(machine.name for machine in MACHINES)
    bits = "" if sys.maxsize > 2**32 else "a 32-bit interpreter on "
    raise OperatorError(f"no seccomp filters for {bits}a {name}: itkwsgi knows the system calls of {known}, 64-bit")
