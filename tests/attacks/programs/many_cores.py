# attack: burn processor time in threads that hold no lock
# expect: killed when the time of all threads is used up
# kind: timeout
import hashlib, threading

data = bytes(10**8)


def burn():
    while True:
        hashlib.sha256(data)


for _ in range(4):
    threading.Thread(target=burn, daemon=True).start()
burn()
