"""All errors that numina_infer raises on purpose, in one tree.

A program that fails is no error here: it is an `Execution` with a status.
"""


class NuminaError(Exception):
    """Root of the tree: catch it to catch all of them."""


class ConfigError(NuminaError, ValueError):
    """A setting that can't be used. The command line ends with exit code 2 and this text."""

    def __init__(self, message: str, *, setting: str = "", value: object = None) -> None:
        """`setting` and `value` say which one it is and what was given, where a single setting is at fault."""
        super().__init__(message)
        self.setting, self.value = setting, value


class ProblemsFileError(ConfigError):
    """A problems file that lacks columns, repeats an id or holds an empty statement."""


class EngineError(NuminaError):
    """The engine couldn't start, or failed while it generated; never shown to the model."""


class ModelNotFoundError(EngineError, ConfigError):
    """The model is neither a folder here nor reachable as a hub id."""


class EngineGoneError(EngineError):
    """The whole engine is dead and has given up restarting; its owner may make another."""


class EngineRefusalError(EngineError):
    """The engine rejects a request, and would reject the same again."""


class SandboxError(NuminaError):
    """The sandbox couldn't start, or lost a program through no fault of the program's; never shown to the model."""


class SandboxGoneError(SandboxError):
    """The sandbox is dead, and its owner has given up restarting it."""


class GatewayError(NuminaError):
    """A call to or from the competition broke the order or shape that its API asks for."""


class WheelError(NuminaError):
    """A wheel for Kaggle can't be found, fetched or built, or isn't what its hash says."""


class NothingToExportError(NuminaError):
    """No trajectory of a run is of the kind that was to be exported."""


class GradingError(NuminaError):
    """The processes in which math-verify compares answers don't start."""


class RunLogError(NuminaError):
    """A run folder can't be written, read or resumed."""

    def __init__(self, message: str, *, line: int | None = None, format_version: object = None) -> None:
        """`line` is the damaged one of a file, from 1; `format_version` the one that isn't known."""
        super().__init__(message)
        self.line, self.format_version = line, format_version
