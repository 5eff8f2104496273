# attack: signal the zygote, its process group and its session (a continue, so that a success hurts nothing)
# expect: refused
# kind: contained
import os

hits = 0
for act in (
    lambda: os.killpg(os.getpgid(os.getppid()), 18),
    lambda: os.kill(os.getppid(), 18),
    lambda: os.kill(-os.getsid(os.getppid()), 18),
):
    try:
        act()
        hits += 1
    except OSError as error:
        print("refused", error)
print("HIT" if hits else "refused", hits)
