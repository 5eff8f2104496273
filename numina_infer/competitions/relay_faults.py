"""What Kaggle's relay may do wrong to an inference server; `mock.relay` does it on purpose if asked to."""

from enum import StrEnum


class RelayFault(StrEnum):
    """One fault, by the name that `--nasty` takes."""

    ASK_TWICE = "ask-twice"
    """Ask again for a problem that has its reply; a different reply then ends the run."""
    DROP = "drop"
    """Break the connection before the reply arrives: gRPC asks again, maybe while the first call still runs."""
    DELAY = "delay"
    """Wait up to a second before a call."""
    EXTRA_COLUMNS = "extra-columns"
    """Send more than id and statement: the reference if there is one, and an unknown column."""
