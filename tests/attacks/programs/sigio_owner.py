# attack: make the victim the owner of a pipe's SIGIO, whose default is death
# expect: refused
# kind: contained
import fcntl, os

victim = int(open("@PUBLIC_DIR@/victim.pid").read())

reader, writer = os.pipe()
try:
    fcntl.fcntl(reader, fcntl.F_SETOWN, victim)
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC)
    os.write(writer, b"x")
    print("HIT armed")
except OSError as error:
    print("refused", error)
