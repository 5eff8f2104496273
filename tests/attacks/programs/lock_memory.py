# attack: lock memory, so that the host must swap or die
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)

size = 64 * 2**20
block = ctypes.create_string_buffer(size)
print("HIT" if libc.mlock(block, size) == 0 or libc.mlockall(3) == 0 else "refused", ctypes.get_errno())
