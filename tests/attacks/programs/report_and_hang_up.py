# attack: forge a report, hang up, and go on behind it, stopped
# expect: killed or stopped until it is
# kind: contained
import os, signal, sys

frame = sys._getframe()
while frame is not None:
    control = frame.f_locals.get("control")
    if control is not None:
        control.send_bytes(b"ok\n")
        control.close()
    frame = frame.f_back
os.closerange(0, 2000)
os.kill(os.getpid(), signal.SIGSTOP)
