# attack: do the I/O in the kernel's own threads
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)
result = libc.syscall(425, 4, ctypes.create_string_buffer(256))
print("HIT" if result >= 0 else "refused", result, ctypes.get_errno())
