# attack: type into the host's terminal, open pseudo-terminals
# expect: refused
# kind: contained
import fcntl, os, termios

hits = 0
for fd in (0, 1, 2):
    try:
        fcntl.ioctl(fd, termios.TIOCSTI, b"x")
        hits += 1
    except OSError as error:
        print(error)
try:
    os.openpty()
    hits += 1
except OSError as error:
    print(error)
print("HIT" if hits else "refused", hits)
