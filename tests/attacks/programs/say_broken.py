# attack: say on every way to the host that the sandbox broke, and leave
# expect: the program's own failure
# kind: contained
import gc, mmap, os, socket, sys

ways, frame = [thing for thing in gc.get_objects() if isinstance(thing, (mmap.mmap, socket.socket))], sys._getframe()
while frame is not None:
    job, control = frame.f_locals.get("job"), frame.f_locals.get("control")
    ways += [] if job is None else [job.report, job.startup, job.startup._page]
    ways += [] if control is None else [control]
    frame = frame.f_back
for way in ways:
    for words in (b"broken\nforged", b"\x02no space left on device"):
        try:
            if isinstance(way, mmap.mmap):
                way[: len(words)] = words
            elif hasattr(way, "fail"):
                way.fail("forged")
            else:
                (way.send_bytes if hasattr(way, "send_bytes") else way.send)(words)
        except (OSError, ValueError, TypeError) as error:
            print(type(error).__name__)
os._exit(1)
