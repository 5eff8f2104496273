# attack: leave a note for later programs in a kernel keyring
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)
result = libc.syscall(248, b"user", b"note", b"hidden", 6, -3)
print("HIT" if result > 0 else "refused", result, ctypes.get_errno())
