# attack: timers and signals by the thousand, so that the interpreter never gets on
# expect: killed at its limit, or an error of its own
# kind: contained
import signal


def again(*_):
    signal.setitimer(signal.ITIMER_REAL, 1e-6)


signal.signal(signal.SIGALRM, again)
again()
while True:
    pass
