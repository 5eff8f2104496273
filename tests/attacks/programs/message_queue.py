# attack: open a POSIX message queue, which outlives its maker
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)
result = libc.syscall(240, b"note", 0o102, 0o600, 0)
print("HIT" if result >= 0 else "refused", result, ctypes.get_errno())
