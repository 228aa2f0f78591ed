"""Base and adapted hypotheses to one `Report`, with no model at hand.

The hypotheses are files (`hypotheses/<set>.<system>.jsonl`), so a report can be made again at any
time: `remake_report` needs a run folder and nothing else. What scoring cannot know (what was
trained, how long it took, on which data) is a `RunFacts`.

Rates are fractions. A rate that does not exist (insertions over references without a word) is None,
null in JSON.

`hypotheses` are the files, `facts` what they do not say; `paired` aligns and counts, once;
`groups` and `words` look closer; `report` puts all of it together and judges; `comparison` does the
same between two runs.
"""

from speechtl.scoring.comparison import Comparison, compare
from speechtl.scoring.facts import (
    DataFacts,
    Dropped,
    Epoch,
    LabelRound,
    Parameters,
    RunFacts,
    Swept,
    Timing,
)
from speechtl.scoring.groups import Disparity, Group, Groups, SpeakerScore, Spread
from speechtl.scoring.hypotheses import (
    SETS,
    SILENCE,
    SYSTEMS,
    Hypotheses,
    Hypothesis,
    read_hypotheses,
    write_hypotheses,
)
from speechtl.scoring.report import (
    EXAMPLES,
    Difference,
    Example,
    Gain,
    NormalisedScore,
    OtherTests,
    RawScore,
    Report,
    SetScore,
    SilenceScore,
    SystemScore,
    judged,
    make_report,
    remake_report,
    score,
)
from speechtl.scoring.words import (
    Confusion,
    Hallucination,
    Silence,
    Sound,
    Vocabulary,
    WordScore,
    read_pronunciations,
)

__all__ = [
    "EXAMPLES",
    "SETS",
    "SILENCE",
    "SYSTEMS",
    "Comparison",
    "Confusion",
    "DataFacts",
    "Difference",
    "Disparity",
    "Dropped",
    "Epoch",
    "Example",
    "Gain",
    "Group",
    "Groups",
    "Hallucination",
    "Hypotheses",
    "Hypothesis",
    "LabelRound",
    "NormalisedScore",
    "OtherTests",
    "Parameters",
    "RawScore",
    "Report",
    "RunFacts",
    "SetScore",
    "Silence",
    "SilenceScore",
    "Sound",
    "SpeakerScore",
    "Spread",
    "Swept",
    "SystemScore",
    "Timing",
    "Vocabulary",
    "WordScore",
    "compare",
    "judged",
    "make_report",
    "read_hypotheses",
    "read_pronunciations",
    "remake_report",
    "score",
    "write_hypotheses",
]
