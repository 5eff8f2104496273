# attack: attach to the victim as a debugger
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)
victim = int(open("@PUBLIC_DIR@/victim.pid").read())
result = libc.ptrace(0x4206, victim, 0, 0)
print("HIT" if result == 0 else "refused", result, ctypes.get_errno())
