# attack: thousands of threads with small stacks, below the limit of memory
# expect: refused beyond some dozen
# kind: contained
import threading

threading.stack_size(32768)
gate, n = threading.Event(), 0
try:
    while n < 3000:
        threading.Thread(target=gate.wait, daemon=True).start()
        n += 1
except BaseException as error:
    print(type(error).__name__)
print("HIT" if n >= 1000 else "few", n)
