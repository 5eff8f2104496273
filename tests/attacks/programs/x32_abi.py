# attack: fork by the x32 numbers of the same calls
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)
me = os.getpid()
result = libc.syscall(0x40000000 + 57)
if os.getpid() != me:
    os._exit(0)
print("HIT" if result > 0 else "refused", result, ctypes.get_errno())
