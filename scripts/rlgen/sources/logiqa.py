"""LogiQA as its authors publish it: a text of blocks, which lm-eval's task knows only through a loading script."""

from pathlib import Path

from rlgen.files import ArtifactError

LETTERS = ("a", "b", "c", "d")


def documents(path: Path) -> list[dict[str, object]]:
    """The documents of a published file (Train.txt, Eval.txt, Test.txt) as lm-eval's task `logiqa` reads them.

    A block is the right letter, the passage, the question and four choices ("A.text"), one line each; blocks are apart
    by an empty line. A space follows every full stop, as in the data set that the task names (EleutherAI/logiqa), whose
    loading script `datasets` no longer runs. Raises ArtifactError naming the block that is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(path, f"cannot be read ({error})", "expected LogiQA's Test.txt") from error
    blocks = text.strip().split("\n\n")
    return [_document(path, number, block.strip().split("\n")) for number, block in enumerate(blocks, start=1)]


def _document(path: Path, number: int, lines: list[str]) -> dict[str, object]:
    letter, choices = lines[0].strip(), [line[:2] for line in lines[3:]]
    if letter not in LETTERS or choices != ["A.", "B.", "C.", "D."]:
        problem = f"block {number} is no letter, passage, question and four choices A. to D."
        raise ArtifactError(path, problem, "expected LogiQA's Test.txt")
    _, context, question, *options = lines
    return {
        "label": letter,
        "context": _spaced(context),
        "question": _spaced(question),
        "options": [_spaced(option[2:]) for option in options],
    }


def _spaced(text: str) -> str:
    return text.replace(".", ". ").strip()
