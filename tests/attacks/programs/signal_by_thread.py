# attack: signal the victim by the calls for threads and queues
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)
victim = int(open("@PUBLIC_DIR@/victim.pid").read())

info = ctypes.create_string_buffer(b"\x09\0\0\0\0\0\0\0\xff\xff\xff\xff", 128)
results = [
    libc.syscall(200, victim, 9),
    libc.syscall(234, victim, victim, 9),
    libc.syscall(129, victim, 9, info),
    libc.syscall(297, victim, victim, 9, info),
]
print("HIT" if 0 in results else "refused", results)
