"""Two solved problems that show the shape to a model that wasn't trained on it."""

from dataclasses import dataclass

from numina_infer.formats.fences import OUTPUT_FENCE


@dataclass(frozen=True, slots=True)
class WorkedExample:
    """A problem and how it should be solved."""

    statement: str
    reasoning: str
    code: str
    output: str
    conclusion: str

    @property
    def solution(self) -> str:
        """The text that the model should write, with the output between its parts."""
        return f"{self.reasoning}\n```python\n{self.code}\n```\n{OUTPUT_FENCE}{self.output}\n```\n{self.conclusion}"


EXAMPLES = (
    WorkedExample(
        statement="What is 346 plus 478?",
        reasoning="We compute 346 plus 478 with Python.",
        code="print(346 + 478)",
        output="824",
        conclusion="The program printed 824. The answer is $\\boxed{824}$.",
    ),
    WorkedExample(
        statement="A box holds 24 pencils. How many pencils are in 15 boxes?",
        reasoning="We compute 24 times 15 with Python.",
        code="print(24 * 15)",
        output="360",
        conclusion="The program printed 360. The answer is $\\boxed{360}$.",
    ),
)
