"""The side of the sandbox that runs untrusted code: the zygote, its forks, and how each locks itself down.

In: orders from the host. Out: reports, which the host trusts in nothing but their form.
"""
