# attack: open any file by its inode number, as the «shocker» exploit left Docker
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)

hits = 0
try:
    mount = os.open("/", os.O_RDONLY)
except OSError:
    mount = -100
for inode in (2, 128, 256):
    handle = ctypes.create_string_buffer(b"\x08\0\0\0\x01\0\0\0" + inode.to_bytes(8, "little"))
    hits += libc.syscall(304, mount, handle, 0) >= 0
print("HIT" if hits else "refused", ctypes.get_errno())
