# attack: send descriptors over whatever socket is open
# expect: refused
# kind: contained
import array, os, socket

hits = 0
for fd in range(3, 2000):
    try:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=fd)
    except OSError:
        continue
    try:
        end.sendmsg([b"ok\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 100))])
        hits += 1
    except OSError as error:
        print(error)
    end.detach()
print("HIT" if hits else "refused", hits)
