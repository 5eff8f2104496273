# attack: fill the way to the host with reports, as fast as it goes
# expect: killed, at the latest at its limit
# kind: contained
import os, sys

control, frame = None, sys._getframe()
while frame is not None:
    control = frame.f_locals.get("control", control)
    frame = frame.f_back
while True:
    if control is None:
        os.getpid()
    else:
        control.send_bytes(b"ok\n" * 1000)
