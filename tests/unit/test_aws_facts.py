"""The facts about AWS that code cites are there to be looked up (`workflows/local/AWS.md`)."""

import re
from collections import Counter

from scripts.imports import ROOT

FACTS = (ROOT / "workflows/local/AWS.md").read_text("utf-8")
# "AWS.md 3.2", "AWS.md 9.3, 9.4", "AWS.md 4.1 to 4.3", over the end of a line and its comment mark as well.
CITED = re.compile(r"AWS\.md[\s#]+(\d+(?:\.\d+)?(?:(?:,| to| and)[\s#]+\d+(?:\.\d+)?)*)")


def ids() -> Counter[str]:
    return Counter(re.findall(r"^\| (\d+\.\d+) \|", FACTS, re.MULTILINE))


def test_each_fact_has_an_id_of_its_own_and_says_how_certain_it_is():
    rows = [line for line in FACTS.splitlines() if re.match(r"\| \d+\.\d+ \|", line)]
    certain = [line for line in rows if re.search(r"\| (high|medium|low) \|", line)]
    asked = [line for line in rows if line.startswith("| 13.")]
    texts = [line for line in rows if not line.startswith("| 13.")]

    assert len(texts) > 80
    assert asked
    assert certain == texts
    assert set(ids().values()) == {1}


def test_every_row_and_section_that_code_cites_is_there():
    known = set(ids()) | set(re.findall(r"^## (\d+)\.", FACTS, re.MULTILINE))
    cited = {}
    for path in sorted((ROOT / "workflows").rglob("*.py")):
        for found in CITED.findall(path.read_text("utf-8")):
            cited.update(dict.fromkeys(re.findall(r"[\d.]+", found), path.name))

    assert len(cited) > 25
    assert {fact: name for fact, name in cited.items() if fact not in known} == {}
