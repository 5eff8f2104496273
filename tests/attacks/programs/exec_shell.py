# attack: become a shell
# expect: refused
# kind: contained
import os

try:
    os.execv("/bin/sh", ["sh", "-c", "echo HIT"])
except OSError as error:
    print("refused", error)
