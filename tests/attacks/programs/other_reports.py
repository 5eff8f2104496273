# attack: find the report of a neighbour among shared maps and overwrite it
# expect: at most its own
# kind: contained
import gc, mmap

found = [thing for thing in gc.get_objects() if isinstance(thing, mmap.mmap) and len(thing) == 8192]
for one in found:
    try:
        one[:3] = b"ok\n"
    except (ValueError, TypeError):
        pass
print("HIT" if len(found) > 1 else "own", len(found))
