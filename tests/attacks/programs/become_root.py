# attack: take the host's user back
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)

hits = 0
for act in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgid(0), lambda: os.setgroups([0])):
    try:
        act()
        hits += 1
    except OSError as error:
        print(error)
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
data = (ctypes.c_uint32 * 6)()
libc.capget(header, data)
print("HIT" if hits or data[0] & ~0b110 else "refused", hits, hex(data[0]))
