# attack: take an open descriptor out of the victim
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)
victim = int(open("@PUBLIC_DIR@/victim.pid").read())

pidfd = libc.syscall(434, victim, 0)
fd = libc.syscall(438, pidfd, 0, 0)
print("HIT" if fd >= 0 else "refused", pidfd, fd)
