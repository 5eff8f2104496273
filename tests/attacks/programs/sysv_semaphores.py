# attack: make System V semaphores and queues, which outlive their maker
# expect: refused
# kind: contained
import ctypes, os

libc = ctypes.CDLL(None, use_errno=True)

made = [libc.semget(0, 1, 0o1600), libc.msgget(0, 0o1600)]
print("HIT" if max(made) >= 0 else "refused", made)
