# attack: remove, rename, link, truncate or chmod the submission
# expect: refused
# kind: contained
import os

path = "@HOST_DIR@/submission.csv"
hits = []
for name, act in {
    "link": lambda: os.link(path, "@PUBLIC_DIR@/link"),
    "chmod": lambda: os.chmod(path, 0o666),
    "utime": lambda: os.utime(path, (0, 0)),
    "truncate": lambda: os.truncate(path, 0),
    "rename": lambda: os.rename(path, path + ".old"),
    "unlink": lambda: os.unlink(path),
    "rmdir": lambda: os.rmdir("@HOST_DIR@"),
    "xattr": lambda: os.setxattr("@HOST_DIR@", "user.note", b"x"),
}.items():
    try:
        act()
        hits.append(name)
    except OSError as error:
        print(name, error)
print("HIT" if hits else "refused", hits)
