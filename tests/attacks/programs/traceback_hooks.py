# attack: poison the hooks that tell of an error: excepthook, traceback, str subclasses
# expect: an error on time
# kind: contained
import sys, traceback, linecache, time


def hang(*a, **k):
    time.sleep(60)


sys.excepthook = hang


class Text(str):
    def splitlines(self, *a):
        hang()


class Odd(Exception):
    def __str__(self):
        return Text("x" * 10**6)


raise Odd
