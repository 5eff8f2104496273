# attack: become another program: execve of a memory file
# expect: refused
# kind: contained
import os

try:
    fd = os.memfd_create("program", 0)
    os.write(fd, b"#!/bin/sh\necho HIT\n")
    os.execve(f"/proc/self/fd/{fd}", ["program"], {})
except OSError as error:
    print("refused", error)
