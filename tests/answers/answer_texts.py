"""Texts that look like answers, for properties of the answer reader."""

from hypothesis import strategies as st

from numina_infer.core.records import AnswerRange

PIECES = st.sampled_from(
    [
        *(
            r"\boxed{",
            r"\boxed",
            r"\fbox{",
            "{",
            "}",
            "(",
            ")",
            "[",
            "]",
            r"\left(",
            r"\right)",
            r"\text{",
            "$",
            r"\(",
        ),
        *(r"\)", r"\[", r"\]", "5", "12", "052", "1,234", ".", ",", " ", "\n", "=", "+", "-", r"\cdot", "/", "^", "!"),
        *(
            r"\frac",
            r"\dfrac{1}",
            r"\binom",
            r"\sqrt",
            r"\sqrt[",
            r"\pmod{",
            r"\bmod",
            r"\%",
            r"\$",
            "\\",
            "\\\\",
            '"',
        ),
        *(
            "The answer is ",
            "Answer: ",
            "<answer>",
            "</answer>",
            " and ",
            "cm",
            "x",
            "e",
            "th",
            "1e9",
            "```",
            "…",
            "²",
        ),
        *(
            "```python\n",
            "```output\n",
            r"\pi",
            "|",
            r"\{",
            r"\}",
            r"\lfloor",
            r"\rfloor",
            r"\choose",
            "_",
            "~",
            "\ud800",
        ),
        *(
            "Answer\n",
            "#### ",
            "答案是",
            r"\framebox{",
            r"\floor{",
            " for n = ",
            " if ",
            "_{2}",
            " thousand",
            "√",
            "**",
            "’",
        ),
    ]
)
LATEX = st.lists(PIECES, max_size=40).map("".join)
RANGES = st.sampled_from(list(AnswerRange))
