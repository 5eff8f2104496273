# attack: outlive the zygote by clearing the parent-death signal
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)
result = libc.prctl(1, 0, 0, 0, 0)
print("HIT" if result == 0 else "refused", result, ctypes.get_errno())
