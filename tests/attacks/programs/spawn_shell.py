# attack: posix_spawn a shell
# expect: refused
# kind: contained
import os

try:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], {})
    print("HIT" if os.waitpid(pid, 0)[1] == 7 << 8 else "refused")
except OSError as error:
    print("refused", error)
