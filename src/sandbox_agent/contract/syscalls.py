"""Which system calls a run may make: tables, and a reason per group. ``seccomp.py`` turns them into a filter.

Everything that stands in no table answers EPERM, or ENOSYS from number 424 on, where new calls appear and programs
probe for them. Built from what CPython 3.11-3.13 with numpy, pandas, matplotlib, scipy, threads, asyncio,
multiprocessing and sqlite needs; checked by running them under it.
"""

from __future__ import annotations

from typing import NamedTuple


class Group(NamedTuple):
    why: str
    names: str


ALLOWED = (
    Group(
        "files; where they may be is Landlock's business",
        "read write open openat creat close stat fstat lstat newfstatat statx lseek readv writev preadv pwritev "
        "pread64 pwrite64 access faccessat faccessat2 pipe pipe2 dup dup2 dup3 fsync fdatasync truncate ftruncate "
        "fallocate fadvise64 getdents64 getcwd chdir fchdir rename renameat renameat2 mkdir mkdirat rmdir link "
        "linkat unlink unlinkat symlink symlinkat readlink readlinkat chmod fchmod fchmodat fchmodat2 umask utime "
        "utimes utimensat statfs fstatfs sendfile copy_file_range close_range flock",
    ),
    Group(
        "memory and threads of one's own",
        "mmap mprotect munmap mremap madvise msync mincore brk futex set_robust_list set_tid_address "
        "rseq membarrier getcpu arch_prctl",
    ),
    Group(
        "processes of one's own (multiprocessing by fork); execve is not here: no shell, no second interpreter",
        "fork vfork wait4 waitid exit exit_group kill tgkill tkill getpid getppid gettid getuid getgid geteuid getegid "
        "getresuid getresgid getgroups getpgid getpgrp getsid setpgid setsid getpriority getrlimit getrusage sysinfo "
        "uname times sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_min "
        "sched_get_priority_max",
    ),
    Group(
        "signals and time",
        "rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause alarm "
        "getitimer setitimer nanosleep clock_gettime clock_getres clock_nanosleep time gettimeofday restart_syscall "
        "getrandom",
    ),
    Group(
        "waiting for events; a socketpair is how asyncio wakes itself",
        "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd "
        "eventfd2 sendto recvfrom shutdown getsockname getsockopt",
    ),
)

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

EPERM, EACCES, ENOSYS = 1, 13, 38

ERRNO = {
    "socket": EACCES,  # what a program on a machine without network rights sees: PermissionError
    "clone3": ENOSYS,  # its flags are behind a pointer; glibc falls back to clone
    "openat2": ENOSYS,  # likewise, to openat
}

_CLONE_NEW = 0x7E020000  # NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET
_AF_UNIX = 1


class Argument(NamedTuple):
    """A test of the low 32 bits of one argument, which is all the kernel looks at in these calls."""

    position: int
    test: str  # "in": allowed if equal to one of the values; "not in"; "clear": allowed if (argument & value) == 0
    values: tuple[int, ...]
    why: str


BY_ARGUMENT = {
    "clone": Argument(0, "clear", (_CLONE_NEW,), "threads and forks, but no new namespace"),
    "socketpair": Argument(0, "in", (_AF_UNIX,), "asyncio's self-pipe; every other family reaches kernel code"),
    "ioctl": Argument(
        1,
        "in",
        (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451),
        "TCGETS TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX: what isatty, os.get_terminal_size and asyncio ask",
    ),
    "prctl": Argument(0, "in", (3, 15, 16), "GET_DUMPABLE SET_NAME GET_NAME; never SET_DUMPABLE or SET_PDEATHSIG"),
    "prlimit64": Argument(0, "in", (0,), "one's own limits"),
    "rt_sigaction": Argument(0, "not in", (31,), "every signal but SIGSYS, whose handler is ours: see trap.py"),
    "fcntl": Argument(
        1,
        "in",
        (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032),
        "DUPFD GETFD SETFD GETFL SETFL, record locks, DUPFD_CLOEXEC GETPIPE_SZ; no owners, leases or pipe sizes",
    ),
}

COLUMNS = {"x86_64": 0, "aarch64": 1}
"""Machines, as ``platform.machine()`` calls them, and where their numbers are in `NUMBERS`."""

NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "access": (21, None),
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "alarm": (37, None),
    "arch_prctl": (158, None),
    "bpf": (321, 280),
    "brk": (12, 214),
    "chdir": (80, 49),
    "chmod": (90, None),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "close": (3, 57),
    "close_range": (436, 436),
    "copy_file_range": (326, 285),
    "creat": (85, None),
    "delete_module": (176, 106),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "epoll_create": (213, None),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_pwait": (281, 22),
    "epoll_pwait2": (441, 441),
    "epoll_wait": (232, None),
    "eventfd": (284, None),
    "eventfd2": (290, 19),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "fadvise64": (221, 223),
    "fallocate": (285, 47),
    "fchdir": (81, 50),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fcntl": (72, 25),
    "fdatasync": (75, 83),
    "finit_module": (313, 273),
    "flock": (73, 32),
    "fork": (57, None),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "fstat": (5, 80),
    "fstatfs": (138, 44),
    "fsync": (74, 82),
    "ftruncate": (77, 46),
    "futex": (202, 98),
    "getcpu": (309, 168),
    "getcwd": (79, 17),
    "getdents64": (217, 61),
    "getegid": (108, 177),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getgroups": (115, 158),
    "getitimer": (36, 102),
    "getpgid": (121, 155),
    "getpgrp": (111, None),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getpriority": (140, 141),
    "getrandom": (318, 278),
    "getresgid": (120, 150),
    "getresuid": (118, 148),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "getsid": (124, 156),
    "getsockname": (51, 204),
    "getsockopt": (55, 209),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "getuid": (102, 174),
    "init_module": (175, 105),
    "io_setup": (206, 0),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "link": (86, None),
    "linkat": (265, 37),
    "lookup_dcookie": (212, 18),
    "lseek": (8, 62),
    "lstat": (6, None),
    "madvise": (28, 233),
    "membarrier": (324, 283),
    "mincore": (27, 232),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mmap": (9, 222),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "msync": (26, 227),
    "munmap": (11, 215),
    "name_to_handle_at": (303, 264),
    "nanosleep": (35, 101),
    "newfstatat": (262, 79),
    "open": (2, None),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "openat": (257, 56),
    "openat2": (437, 437),
    "pause": (34, None),
    "perf_event_open": (298, 241),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "pivot_root": (155, 41),
    "poll": (7, None),
    "ppoll": (271, 73),
    "prctl": (157, 167),
    "pread64": (17, 67),
    "preadv": (295, 69),
    "prlimit64": (302, 261),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pselect6": (270, 72),
    "ptrace": (101, 117),
    "pwrite64": (18, 68),
    "pwritev": (296, 70),
    "quotactl": (179, 60),
    "read": (0, 63),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "readv": (19, 65),
    "reboot": (169, 142),
    "recvfrom": (45, 207),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "request_key": (249, 218),
    "restart_syscall": (219, 128),
    "rmdir": (84, None),
    "rseq": (334, 293),
    "rt_sigaction": (13, 134),
    "rt_sigpending": (127, 136),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigsuspend": (130, 133),
    "rt_sigtimedwait": (128, 137),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_yield": (24, 124),
    "select": (23, None),
    "sendfile": (40, 71),
    "sendto": (44, 206),
    "set_robust_list": (273, 99),
    "set_tid_address": (218, 96),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setitimer": (38, 103),
    "setns": (308, 268),
    "setpgid": (109, 154),
    "setsid": (112, 157),
    "settimeofday": (164, 170),
    "shutdown": (48, 210),
    "sigaltstack": (131, 132),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "stat": (4, None),
    "statfs": (137, 43),
    "statx": (332, 291),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "sysinfo": (99, 179),
    "syslog": (103, 116),
    "tgkill": (234, 131),
    "time": (201, None),
    "times": (100, 153),
    "tkill": (200, 130),
    "truncate": (76, 45),
    "umask": (95, 166),
    "umount2": (166, 39),
    "uname": (63, 160),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "utime": (132, None),
    "utimensat": (280, 88),
    "utimes": (235, None),
    "vfork": (58, None),
    "vhangup": (153, 58),
    "wait4": (61, 260),
    "waitid": (247, 95),
    "write": (1, 64),
    "writev": (20, 66),
}
"""System call numbers: (x86-64, aarch64); None where the architecture has no such call."""
