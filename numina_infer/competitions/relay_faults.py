"""What Kaggle's relay may do to an inference server on a bad night, by name; `mock.relay` does it on purpose."""

from enum import StrEnum


class Nasty(StrEnum):
    """One way to be nasty."""

    ASK_TWICE = "ask-twice"
    """Ask for a problem that has its reply already; another one then ends the run."""
    DROP = "drop"
    """Break the connection when the reply is on its way: gRPC asks again, maybe while the first call still runs."""
    DELAY = "delay"
    """Take up to a second before a call."""
    EXTRA_COLUMNS = "extra-columns"
    """Hand over more than id and statement: the reference if there is one, and a column that nobody knows."""
