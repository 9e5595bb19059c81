"""Which system calls a run may make: tables, and a reason per group. ``seccomp.py`` turns them into a filter.

Every call that has a name below number 424 stands in one of the tables. From 424 on, where new calls appear and
programs probe for them, what stands in none answers ENOSYS. Built from what CPython 3.11-3.14 with numpy, pandas,
matplotlib, scipy, threads, asyncio, multiprocessing and sqlite needs; checked by running them under it.

A refused call answers what its callers are ready for. The standard library, glibc and numpy go on without a call that
is "not supported" (ENOSYS, or EOPNOTSUPP for one kind of file), and give up at EPERM. So EPERM is for what is refused
because nobody may do it, which is also what the kernel says to a process without rights. What only advises the kernel,
or asks it to flush what lies in memory anyway, is answered as done (`DONE`) and not done.
"""

from __future__ import annotations

from typing import NamedTuple

DONE = 0
EPERM, ENOMEM, EACCES, EINVAL, ENOTTY, ENOSYS, ENOPROTOOPT, EOPNOTSUPP = 1, 12, 13, 22, 25, 38, 92, 95


class Group(NamedTuple):
    why: str
    names: str


class Refusal(NamedTuple):
    errno: int
    why: str
    names: str


class Argument(NamedTuple):
    """A test of the low 32 bits of one argument, which is all the kernel looks at in these calls."""

    position: int
    test: str  # "in": passed if equal to one of the values; "not in"; "clear": passed if (argument & value) == 0
    values: tuple[int, ...]
    why: str
    errno: int = EPERM  # what a call that does not pass answers
    mask: int = 0xFFFFFFFF  # the bits of the argument that "in" and "not in" compare
    when: tuple[int, int] | None = None  # another argument and its value, without which there is no test
    machine: str = ""  # the only one on which there is this test


ALLOWED = (
    Group(
        "files; where they may be is Landlock's business",
        "read write creat close stat fstat lstat newfstatat statx lseek readv writev preadv pwritev "
        "pread64 pwrite64 access faccessat faccessat2 pipe pipe2 dup dup2 dup3 truncate ftruncate fallocate "
        "getdents64 getcwd chdir fchdir rename renameat mkdir mkdirat rmdir link linkat unlink unlinkat symlink "
        "symlinkat readlink readlinkat chmod fchmod fchmodat fchmodat2 umask utime utimes utimensat statfs fstatfs "
        "sendfile copy_file_range close_range flock",
    ),
    Group(
        "the owner of one's own files: without a capability, of which there is none, the kernel takes no other owner "
        "than the one that they have (shutil.chown, os.chown(path, -1, -1))",
        "chown fchown lchown fchownat",
    ),
    Group(
        "memory and threads of one's own",
        "mprotect munmap mremap brk set_robust_list set_tid_address rseq getcpu arch_prctl",
    ),
    Group(
        "processes of one's own (multiprocessing by fork); execve is not here: no shell, no second interpreter",
        "fork vfork wait4 waitid exit exit_group kill tgkill tkill getpid getppid gettid getuid getgid geteuid getegid "
        "getresuid getresgid getgroups getpgid getpgrp getsid setpgid setsid getpriority getrlimit getrusage sysinfo "
        "uname times sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_min "
        "sched_get_priority_max sched_rr_get_interval",
    ),
    Group(
        "signals and time",
        "rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause alarm "
        "getitimer setitimer nanosleep time gettimeofday restart_syscall getrandom",
    ),
    Group(
        "waiting for events",
        "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd "
        "eventfd2",
    ),
    Group(
        "the ends of a socketpair, which is how asyncio wakes itself, and of a Unix stream",
        "shutdown getsockname getpeername",
    ),
    Group(
        "Unix streams among a run's own processes (see SOCKETS)",
        "bind listen accept accept4 connect",
    ),
)

SOCKETS = "socket bind listen accept accept4 connect"
"""How a program makes Unix streams, and multiprocessing its managers, whose clients may be older than they are.

Allowed where no socket but the run's own can be reached: paths lead to its own file system, and names without a path
are the network namespace's. A sandbox without a namespace of its own has none of these calls (`EACCES`).

They reach bind, connect and accept of ``net/unix``. What has been exploited there stays closed: descriptors do not
travel (no sendmsg), so the kernel never has any to collect; there is no out-of-band byte and no datagram that connects;
and nobody asks for a peer's credentials."""

KILLED = (
    Group("reads or writes other processes", "ptrace process_vm_readv process_vm_writev kcmp"),
    Group("loads code into the kernel or watches it", "bpf perf_event_open userfaultfd lookup_dcookie syslog"),
    Group("asynchronous system calls that no filter sees", "io_uring_setup io_uring_enter io_uring_register io_setup"),
    Group("kernel keyrings outlive the run", "keyctl add_key request_key"),
    Group(
        "changes the file system tree or the namespaces",
        "mount umount2 pivot_root move_mount open_tree fsopen fsmount fsconfig fspick mount_setattr setns unshare "
        "open_by_handle_at name_to_handle_at chroot",
    ),
    Group(
        "administers the machine",
        "kexec_load kexec_file_load init_module finit_module delete_module reboot swapon swapoff iopl ioperm acct "
        "quotactl settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname vhangup",
    ),
)

REFUSED = (
    Refusal(
        DONE,
        "flushes: everything that a program can write is memory, and a flush of what it can read (the libraries) is "
        "work for the disk of the machine",
        "fsync fdatasync msync sync syncfs sync_file_range",
    ),
    Refusal(
        DONE,
        "advice on the page cache, which is the whole machine's: a file thrown out of it is read from disk again, for "
        "everybody",
        "fadvise64 readahead",
    ),
    Refusal(
        EOPNOTSUPP,
        "extended attributes, which say nothing in a box that is wiped: shutil.copystat, copytree and move go on "
        "without them, as on a file system that has none",
        "setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr "
        "lremovexattr fremovexattr",
    ),
    Refusal(
        ENOSYS,
        "flags behind a pointer, or flags that nobody needs: glibc makes the older call (fork, openat, preadv …)",
        "clone3 openat2 preadv2 pwritev2 getdents futimesat setrlimit",
    ),
    Refusal(
        ENOSYS,
        "parts of a kernel that it can be built without: System V IPC and message queues, which outlive their maker; "
        "watches, timers and signals as descriptors, and POSIX timers; asynchronous input and output",
        "shmget shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open mq_unlink "
        "mq_timedsend mq_timedreceive mq_notify mq_getsetattr inotify_init inotify_init1 inotify_add_watch "
        "inotify_rm_watch fanotify_init fanotify_mark timerfd_create timerfd_settime timerfd_gettime signalfd "
        "signalfd4 timer_create timer_settime timer_gettime timer_getoverrun timer_delete io_destroy io_submit "
        "io_cancel io_getevents io_pgetevents",
    ),
    Refusal(
        ENOSYS,
        "where memory lies and how it is protected: numpy and OpenBLAS do without",
        "mbind set_mempolicy get_mempolicy migrate_pages move_pages pkey_mprotect pkey_alloc pkey_free "
        "remap_file_pages modify_ldt set_thread_area get_thread_area",
    ),
    Refusal(
        ENOSYS,
        "which pages of a file are in memory, that is what others have read; barriers that interrupt every processor",
        "mincore membarrier",
    ),
    Refusal(
        ENOSYS,
        "calls of kernels long gone, or of none",
        "uselib ustat sysfs _sysctl create_module get_kernel_syms query_module nfsservctl getpmsg putpmsg afs_syscall "
        "tuxcall security vserver epoll_ctl_old epoll_wait_old",
    ),
    Refusal(
        EPERM,
        "another program: no shell, no second interpreter",
        "execve execveat",
    ),
    Refusal(
        EPERM,
        "becoming another, or having rights: also oneself again, in which nobody needs to be confirmed",
        "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capget capset",
    ),
    Refusal(
        EPERM,
        "devices and FIFOs: Landlock refuses them too, so that no cleanup meets one",
        "mknod mknodat",
    ),
    Refusal(
        EPERM,
        "messages that carry descriptors or credentials (SCM_RIGHTS), whose garbage collection was exploited again and "
        "again",
        "sendmsg recvmsg sendmmsg recvmmsg",
    ),
    Refusal(
        EPERM,
        "pages moved between pipes and files (Dirty Pipe), and files that no disk limit counts",
        "splice tee vmsplice memfd_create",
    ),
    Refusal(
        EPERM,
        "memory locked in place: the limit of it is 0, to which the kernel answers so",
        "mlock mlock2 mlockall munlock munlockall",
    ),
    Refusal(
        EPERM,
        "a higher priority, of processor or disk; a lower one is setpriority's",
        "sched_setscheduler sched_setparam sched_setattr sched_getattr ioprio_get ioprio_set",
    ),
    Refusal(
        EPERM,
        "another execution domain, another filter, signals with forged origins, another process's list of locks",
        "personality seccomp rt_sigqueueinfo rt_tgsigqueueinfo get_robust_list",
    ),
)

_CLONE_ODD = 0xFE823000
"""NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET; PIDFD; PTRACE and UNTRACED; IO. (DETACHED is musl's.)"""
_RENAME_WHITEOUT = 4
_MAP_HUGETLB = 0x40000
_FUTEX_COMMAND = ~(128 | 256) & 0xFFFFFFFF  # without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME
_O_ASYNC, _F_SETFL = 0x2000, 4
_AF_UNIX, _SOCK_STREAM, _SOCK_NONBLOCK, _SOCK_CLOEXEC = 1, 1, 0x800, 0x80000
_STREAMS = tuple(_SOCK_STREAM | flags for flags in (0, _SOCK_NONBLOCK, _SOCK_CLOEXEC, _SOCK_NONBLOCK | _SOCK_CLOEXEC))
_MSG_OOB = 1
_NO_OOB = Argument(3, "clear", (_MSG_OOB,), "but for MSG_OOB, whose code is young (CVE-2025-38236)", EOPNOTSUPP)
_SUPERVISORS_CLOCKS = tuple(range(0xFFFFFFF0, 0xFFFFFFF8))  # ~1 << 3, and which of its clocks
_NOT_ITS_CLOCK = Argument(
    0,
    "not in",
    _SUPERVISORS_CLOCKS,
    "but for the processor time of the supervisor, which counts on from run to run",
    EINVAL,
)
_SUPERVISOR = 1  # its pid; it has the run's uid where the native engine is not root
_FICLONE = 0x40049409


def _buffered(position: int, when: tuple[int, int] | None = None) -> tuple[Argument, ...]:
    """Flags of an open file without O_DIRECT, which each machine has elsewhere (and aarch64 O_DIRECTORY in its place).

    It reads from the disk of the machine, as often as a program asks; a tmpfs had none of it for long, and said so.
    """
    why = "but for O_DIRECT, which reads past the page cache from the machine's disk"
    return tuple(
        Argument(position, "clear", (bit,), why, EINVAL, when=when, machine=machine)
        for machine, bit in (("x86_64", 0x4000), ("aarch64", 0x10000))
    )


BY_ARGUMENT: dict[str, tuple[Argument, ...]] = {
    "clone": (Argument(0, "clear", (_CLONE_ODD,), "threads and forks; no namespaces, no pidfds"),),
    "open": _buffered(1),
    "openat": _buffered(2),
    "renameat2": (
        Argument(4, "clear", (_RENAME_WHITEOUT,), "but for RENAME_WHITEOUT, which leaves a device behind", EINVAL),
    ),
    "mmap": (
        Argument(
            3,
            "clear",
            (_MAP_HUGETLB,),
            "but for huge pages that are set aside for others, and that no limit of memory counts",
            ENOMEM,
        ),
    ),
    "madvise": (
        Argument(2, "not in", (20, 21), "COLD PAGEOUT: advice to drop pages, also of files that all share", DONE),
        Argument(
            2,
            "in",
            (0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23),
            "NORMAL RANDOM SEQUENTIAL WILLNEED DONTNEED FREE REMOVE DONTFORK DOFORK HUGEPAGE NOHUGEPAGE DONTDUMP "
            "DODUMP WIPEONFORK KEEPONFORK POPULATE_READ POPULATE_WRITE: what allocators and mmap.madvise use; no pages "
            "shared with others (MERGEABLE), none declared broken, no file's pages collapsed",
            EINVAL,
        ),
    ),
    "futex": (
        Argument(
            1,
            "in",
            (0, 1, 3, 4, 5, 9, 10),
            "WAIT WAKE REQUEUE CMP_REQUEUE WAKE_OP WAIT_BITSET WAKE_BITSET; none that inherits priority "
            "(CVE-2014-3153, CVE-2021-3347), for which glibc then says ENOTSUP",
            ENOSYS,
            mask=_FUTEX_COMMAND,
        ),
    ),
    "clock_gettime": (_NOT_ITS_CLOCK,),
    "clock_getres": (_NOT_ITS_CLOCK,),
    "clock_nanosleep": (_NOT_ITS_CLOCK,),
    "socketpair": (
        Argument(0, "in", (_AF_UNIX,), "asyncio's self-pipe; every other family reaches kernel code", EOPNOTSUPP),
    ),
    "socket": (
        # what a program on a machine without network rights sees: PermissionError
        Argument(0, "in", (_AF_UNIX,), "see SOCKETS; every other family reaches a network, or kernel code", EACCES),
        Argument(1, "in", _STREAMS, "streams: datagrams can be connected again and again (CVE-2013-7446)", EACCES),
    ),
    "sendto": (_NO_OOB,),
    "recvfrom": (_NO_OOB,),
    "getsockopt": (
        Argument(
            2,
            "in",
            (2, 3, 4, 6, 7, 8, 9, 13, 20, 21, 30, 38, 39),
            "REUSEADDR TYPE ERROR BROADCAST SNDBUF RCVBUF KEEPALIVE LINGER RCVTIMEO SNDTIMEO ACCEPTCONN PROTOCOL "
            "DOMAIN; no peer's credentials (CVE-2021-4203), groups or pidfd",
            ENOPROTOOPT,
        ),
    ),
    "setsockopt": (
        Argument(
            2,
            "in",
            (2, 9, 13, 20, 21),
            "REUSEADDR (multiprocessing sets it) KEEPALIVE LINGER RCVTIMEO SNDTIMEO; no filters, no larger buffers",
            ENOPROTOOPT,
        ),
    ),
    "ioctl": (
        Argument(1, "not in", (_FICLONE,), "which pathlib tries first when it copies", EOPNOTSUPP),
        Argument(
            1,
            "in",
            (0x5401, 0x540F, 0x5410, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451),
            "TCGETS TIOCGPGRP TIOCSPGRP TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX: what isatty, os.tcgetpgrp, "
            "os.get_terminal_size and asyncio ask; there is no terminal here that it could be done to",
            ENOTTY,
        ),
    ),
    "prctl": (
        Argument(0, "in", (3, 15, 16), "GET_DUMPABLE SET_NAME GET_NAME; never SET_DUMPABLE or SET_PDEATHSIG", EINVAL),
    ),
    "prlimit64": (
        Argument(0, "not in", (_SUPERVISOR,), "limits of a run's own processes; who has no rights only lowers them"),
    ),
    "setpriority": (
        Argument(0, "in", (0,), "of a process (os.nice), not of all that a user has"),
        Argument(1, "not in", (_SUPERVISOR,), "of a run's own processes; who has no rights only lowers it"),
    ),
    "sched_setaffinity": (
        Argument(0, "not in", (_SUPERVISOR,), "the processors of a run's own threads, of those that it may use"),
    ),
    "rt_sigaction": (
        Argument(0, "not in", (31,), "every signal but SIGSYS, whose handler is ours: see trap.py", EINVAL),
    ),
    "fcntl": (
        Argument(
            1,
            "in",
            (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032),
            "DUPFD GETFD SETFD GETFL SETFL, record locks, DUPFD_CLOEXEC GETPIPE_SZ; no owners, leases or pipe sizes",
        ),
        Argument(
            2, "clear", (_O_ASYNC,), "no signals from files, whose owners cannot be set", EINVAL, when=(1, _F_SETFL)
        ),
        *_buffered(2, when=(1, _F_SETFL)),
    ),
}
"""Calls that are allowed if every test passes; the first that does not says what is answered."""
