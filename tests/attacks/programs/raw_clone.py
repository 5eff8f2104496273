# attack: clone without being a thread, by both raw calls
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)

me, hits = os.getpid(), 0
arguments = (ctypes.c_uint64 * 8)(0, 0, 0, 0, 17)
for pid in (lambda: libc.syscall(56, 17, 0, 0, 0, 0), lambda: libc.syscall(435, arguments, 64)):
    result = pid()
    if os.getpid() != me or result == 0:
        os._exit(0)
    hits += result > 0
print("HIT" if hits else "refused", hits)
