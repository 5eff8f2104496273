# attack: change the root directory
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)
result = libc.chroot(b"/")
print("HIT" if result == 0 else "refused", result, ctypes.get_errno())
