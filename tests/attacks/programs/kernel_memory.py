# attack: read kernel memory and logs
# expect: refused
# kind: contained
hits = []
for path in (
    "/dev/mem",
    "/proc/kcore",
    "/dev/kmsg",
    "/proc/kmsg",
    "/proc/1/environ",
    "/proc/1/root/etc/shadow",
    "/etc/shadow",
):
    try:
        import os

        os.read(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 8)
        hits.append(path)
    except OSError as error:
        print(error)
print("HIT" if hits else "refused", hits)
