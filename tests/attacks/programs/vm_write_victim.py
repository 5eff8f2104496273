# attack: write into the victim's memory
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)
victim = int(open("@PUBLIC_DIR@/victim.pid").read())

text = ctypes.create_string_buffer(b"x")
local = (ctypes.c_uint64 * 2)(ctypes.addressof(text), 1)
remote = (ctypes.c_uint64 * 2)(ctypes.addressof(text), 1)
libc.process_vm_writev(victim, local, 1, remote, 1, 0)
print("refused" if ctypes.get_errno() in (1, 38) else "HIT", ctypes.get_errno())
