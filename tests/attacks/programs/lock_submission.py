# attack: lock the submission so that the host waits for ever
# expect: refused
# kind: contained
import fcntl

try:
    file = open("@PUBLIC_DIR@/victim.pid")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("HIT locked")
except OSError as error:
    print("refused", error)
