"""The Linux system calls of x86-64 that a Python program needs, and how the others are refused.

This is an allow list: a call that isn't named here is refused, also one that a later kernel brings. The numbers are
the kernel's (arch/x86/entry/syscalls/syscall_64.tbl) and never change.
"""

ALLOWED = {
    # reading and writing what is open, looking at files
    "read": 0, "write": 1, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8,
    "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20, "access": 21, "pipe": 22, "select": 23,
    "dup": 32, "dup2": 33, "fsync": 74, "fdatasync": 75, "getdents": 78, "getcwd": 79, "chdir": 80, "fchdir": 81,
    "readlink": 89, "umask": 95, "statfs": 137, "fstatfs": 138, "getxattr": 191, "lgetxattr": 192,
    "fgetxattr": 193, "listxattr": 194, "llistxattr": 195, "flistxattr": 196, "getdents64": 217, "fadvise64": 221,
    "newfstatat": 262, "readlinkat": 267, "faccessat": 269, "pselect6": 270, "ppoll": 271, "dup3": 292,
    "pipe2": 293, "preadv": 295, "pwritev": 296, "preadv2": 327, "pwritev2": 328, "statx": 332,
    "close_range": 436, "faccessat2": 439,
    "epoll_create": 213, "epoll_wait": 232, "epoll_ctl": 233, "epoll_pwait": 281, "eventfd": 284,
    "eventfd2": 290, "epoll_create1": 291, "epoll_pwait2": 441,
    # memory
    "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "mremap": 25, "msync": 26, "mincore": 27, "madvise": 28,
    "membarrier": 324, "pkey_mprotect": 329, "pkey_alloc": 330, "pkey_free": 331,
    # its own signals, time and threads
    "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "rt_sigpending": 127, "rt_sigtimedwait": 128,
    "rt_sigsuspend": 130, "sigaltstack": 131, "pause": 34, "nanosleep": 35, "getitimer": 36, "alarm": 37,
    "setitimer": 38, "gettimeofday": 96, "times": 100, "time": 201, "clock_gettime": 228, "clock_getres": 229,
    "clock_nanosleep": 230, "restart_syscall": 219, "sched_yield": 24, "futex": 202, "set_tid_address": 218,
    "set_robust_list": 273, "get_robust_list": 274, "rseq": 334, "arch_prctl": 158, "gettid": 186,
    "futex_waitv": 449, "exit": 60, "exit_group": 231, "wait4": 61, "waitid": 247,
    # questions about itself and the machine
    "getpid": 39, "uname": 63, "getrlimit": 97, "getrusage": 98, "sysinfo": 99, "getuid": 102, "getgid": 104,
    "geteuid": 107, "getegid": 108, "getppid": 110, "getpgrp": 111, "getgroups": 115, "getresuid": 118,
    "getresgid": 120, "getpgid": 121, "getsid": 124, "capget": 125, "getpriority": 140, "sched_getparam": 143,
    "sched_getscheduler": 145, "sched_get_priority_max": 146, "sched_get_priority_min": 147,
    "sched_rr_get_interval": 148, "sched_getaffinity": 204, "getcpu": 309, "getrandom": 318,
    # its own limits: without capabilities they only go down
    "setrlimit": 160,
}  # fmt: skip

READ_ONLY = {
    # everything that changes files by their path: the whole disk looks read-only
    "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88, "chmod": 90,
    "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "truncate": 76, "ftruncate": 77, "utime": 132,
    "mknod": 133, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198,
    "fremovexattr": 199, "utimes": 235, "mkdirat": 258, "mknodat": 259, "fchownat": 260, "futimesat": 261,
    "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266, "fchmodat": 268, "utimensat": 280,
    "fallocate": 285, "renameat2": 316, "fchmodat2": 452,
}  # fmt: skip

UNKNOWN = {"clone3": 435, "openat2": 437}
"""A filter can't see their arguments, so they are refused; libraries fall back to the older calls."""

LAST_KNOWN = 462
"""Calls above this number are newer than the lists; programs see a kernel without them."""

# Allowed or not by their arguments.
OPEN, OPENAT, IOCTL, CLONE, KILL, TGKILL, FCNTL, PRCTL, PRLIMIT64 = 2, 257, 16, 56, 62, 234, 72, 157, 302
SENDTO, RECVMSG = 44, 47
