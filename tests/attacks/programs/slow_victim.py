# attack: pin, slow and limit the victim
# expect: refused
# kind: contained
import os, resource

victim = int(open("@PUBLIC_DIR@/victim.pid").read())

hits = []
for name, act in {
    "affinity": lambda: os.sched_setaffinity(victim, {0}),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, victim, 19),
    "limit": lambda: resource.prlimit(victim, resource.RLIMIT_CPU, (1, 1)),
}.items():
    try:
        act()
        hits.append(name)
    except OSError as error:
        print(name, error)
print("HIT" if hits else "refused", hits)
