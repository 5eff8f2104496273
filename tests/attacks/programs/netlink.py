# attack: list the machine's interfaces and routes, or make a pair of sockets
# expect: refused
# kind: contained
import socket

hits = 0
for family, kind in ((16, 3), (17, 3), (40, 1), (38, 5), (1, 5)):
    try:
        if family == 1:
            socket.socketpair(family, kind)
        else:
            socket.socket(family, kind, 0)
        hits += 1
    except OSError as error:
        print(error)
print("HIT" if hits else "refused", hits)
