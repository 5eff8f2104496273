# attack: make a device node and read the disk through it
# expect: refused
# kind: contained
import os, stat

hits = 0
for folder in (".", "/tmp", "/dev/shm"):
    try:
        os.mknod(f"{folder}/disk", 0o600 | stat.S_IFBLK, os.makedev(254, 0))
        hits += 1
        os.unlink(f"{folder}/disk")
    except OSError as error:
        print(error)
print("HIT" if hits else "refused", hits)
