# attack: fork through the 32-bit door, where numbers mean other calls
# expect: killed, or no such door
# kind: contained
import ctypes, mmap, os

page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(b"\xb8\x02\x00\x00\x00\xcd\x80\xc3")  # mov eax, 2; int 0x80; ret
door = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
me = os.getpid()
pid = door()
if os.getpid() != me:
    os._exit(0)
print("HIT" if pid > 0 else "refused", pid)
