# attack: stop itself, so that it uses no processor and never ends
# expect: killed at the wall limit
# kind: timeout
import os, signal

print("before", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
while True:
    signal.pause()
