"""Every error that numina_infer raises on purpose, in one tree.

    NuminaError
    ├── ConfigError            a value that the user gave can't be used; the message names it and the fix
    │   └── ProblemsFileError  the problems file can't be read as problems
    ├── EngineError            the engine couldn't generate; never shown to the model
    │   ├── ModelNotFoundError the model isn't on this machine and can't be fetched
    │   ├── EngineGoneError    all of the engine is dead, and it can't bring anything back itself
    │   └── EngineRefusalError the engine won't take what it was asked for, however often it is asked
    ├── SandboxError           the sandbox itself failed; never shown to the model
    │   └── SandboxGoneError   the sandbox is dead, and nobody starts it again
    ├── GatewayError           the competition's side broke its own protocol, or we broke it
    ├── WheelError             a wheel can't be found, fetched or built, or isn't what its hash says
    ├── NothingToExportError   no trajectory of a run is of the kind that was to be exported
    ├── GradingError           math-verify can't be started
    └── RunLogError            a run folder can't be written, read or resumed

A program that fails is no error here: it is an `Execution` with a status.
"""


class NuminaError(Exception):
    """Root of the tree: catch this to catch everything that is ours."""


class ConfigError(NuminaError, ValueError):
    """A setting that can't be used. The command line ends with exit code 2 and this text."""

    def __init__(self, message: str, *, setting: str = "", value: object = None) -> None:
        """`setting` and `value` say which one it is and what was given, where a single setting is at fault."""
        super().__init__(message)
        self.setting, self.value = setting, value


class ProblemsFileError(ConfigError):
    """A problems file that lacks columns, repeats an id or holds an empty statement."""


class EngineError(NuminaError):
    """The engine couldn't start, or failed while it generated."""


class ModelNotFoundError(EngineError, ConfigError):
    """The model is neither a folder here nor reachable as a hub id."""


class EngineGoneError(EngineError):
    """All of the engine is dead and it has given up reviving it; whoever made it may make another."""


class EngineRefusalError(EngineError):
    """The engine won't take a request, and asking for the same again is in vain."""


class SandboxError(NuminaError):
    """The sandbox couldn't start, or lost a program through no fault of the program's."""


class SandboxGoneError(SandboxError):
    """The sandbox is dead, and whoever started it has given up on it."""


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
