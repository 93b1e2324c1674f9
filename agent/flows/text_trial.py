"""A folder of texts that is tried on a history and kept nowhere."""

from collections.abc import Sequence

from agent.domain.ladder import Ladder
from agent.domain.message import Texts
from agent.domain.text_change import judge, legible
from agent.domain.text_files import TextFile, Told, read_folder, told_of
from agent.domain.text_lint import LONGEST, Rules, Severity
from agent.flows.rules import shorteners, texts, word_lists
from agent.flows.text_situation import known_texts
from templates import all_texts


def tried(files: Sequence[TextFile], ladder: Ladder, lender: str | None) -> Texts | list[Told]:
    """The shipped texts with those of the folder in their place; or every problem, as a save tells it."""
    folder = read_folder(files, known_texts(ladder))
    shipped, around = all_texts(), texts()
    after = {**shipped, **folder.texts}
    rules = Rules(
        word_lists(), shorteners(), longest=LONGEST._replace(lender=lender or LONGEST.lender)
    )
    found = judge(shipped, after, folder.texts.keys(), around, ladder, rules)
    told = [*folder.told, *(told_of(one, after, folder.files) for one in found)]
    wrong = [one for one in told if one.severity is Severity.PROBLEM]
    return wrong or legible(after, around)
