# attack: hang in the description of an error
# expect: killed at its limit
# kind: timeout
class Odd(Exception):
    def __str__(self):
        while True:
            pass


raise Odd
