"""Pieces of LaTeX that the patterns of several readers are made of."""


def command(names: str) -> str:
    r"""A pattern for the LaTeX commands `names`: `\pi` with `pi`, but not `\pitchfork`."""
    return rf"\\(?:{names})(?![A-Za-z])"


TEXT = r"\\(?:text(?:bf|it|rm|sf|tt|up|sl|sc|md|normal)?|mathrm|mbox|hbox|emph|operatorname)\s*"
r"""What sets words within mathematics: `\text` in `\text{ cm}`."""
CONCLUDES = command("therefore|implies|Rightarrow|Longrightarrow|rightarrow|longrightarrow")
MATH_OPENS = r"(?:\\[(\[]\s?)?"
r"""`\(` or `\[`, where there is one."""
