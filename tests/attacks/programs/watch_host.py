# attack: watch what the host does to its files
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)

fd = libc.inotify_init1(0)
print("HIT" if fd >= 0 and libc.inotify_add_watch(fd, b"@PUBLIC_DIR@", 0xFFF) >= 0 else "refused", ctypes.get_errno())
