"""Labs find their seconds: measured on a course of our own, and the rules that hold whatever is measured."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from itertools import pairwise

import pytest

from code_labs.errors import LabsError
from code_labs.matching import Course, Label, Lecture, Measures, Pin, Query, evaluate
from code_labs.matching.align import align
from code_labs.matching.bm25 import Index
from code_labs.matching.features import NOTHING, features_of, weighed
from code_labs.matching.suggest import APART, labs_at, offers
from code_labs.matching.vocabulary import vocabulary
from code_labs.matching.windows import windows
from code_labs.matching.words import Words
from code_labs.transcripts import Chapter, Cue, Format, Transcript, parse_transcript
from tests.unit.labs.course_data import course, label, labs, query

HELD_OUT = [lab for lab in labs("held-out") if "video" in lab]
ELSEWHERE = [lab for lab in labs("held-out") if "video" not in lab]


def measured(*, solution: bool) -> Measures:
    return evaluate(course(), [query(lab, solution=solution) for lab in HELD_OUT], map(label, HELD_OUT))


# ---- measures, on the half by which nothing was chosen


def test_the_course_is_large_enough_to_measure_with() -> None:
    assert (len(course().lectures), len(HELD_OUT), len(ELSEWHERE)) == (12, 30, 10)
    assert len(labs("tuning")) == 64
    assert not {lab["id"] for lab in labs("tuning")} & {lab["id"] for lab in labs("held-out")}


def test_labs_with_solutions_find_their_place() -> None:
    found = measured(solution=True)
    assert found.first >= 0.75
    assert found.third >= 0.9
    assert found.third_in_video >= 0.95
    assert found.start_error <= 15
    assert found.right >= 0.8


def test_labs_without_solutions_find_their_place_more_seldom() -> None:
    found = measured(solution=False)
    assert found.third >= 0.7
    assert found.third < measured(solution=True).third


def test_most_labs_about_something_else_have_no_good_match() -> None:
    assert sum(course().match(query(lab)) is None for lab in ELSEWHERE) >= 7
    assert sum(course().match(query(lab, solution=False)) is None for lab in ELSEWHERE) == 10


def test_the_order_of_the_course_makes_matches_surer() -> None:
    found = align(course(), [query(lab) for lab in HELD_OUT])
    right = sum(
        bool(match) and label(lab).is_hit_by(match) for lab, match in zip(HELD_OUT, found, strict=True) if match
    )
    assert right / len(HELD_OUT) > measured(solution=True).first
    places = [course().place_of(match.lecture, match.start) for match in found if match]
    assert places == sorted(places)


# ---- a small course


def lecture(name: str, *texts: str, chapters: tuple[Chapter, ...] = ()) -> Lecture:
    cues = tuple(Cue(60.0 * n, 60.0 * n + 58, text) for n, text in enumerate(texts))
    return Lecture(name, Transcript(cues, Format.VTT, "en", chapters))


SMALL = (
    lecture(
        "a", "today we bake bread with flour", "a while loop repeats until the oven is hot", "we eat and say goodbye"
    ),
    lecture("b", "lists have square brackets", "append puts an apple at the end", "sorting is for another day"),
)
APPLES = Query("apples", "Put apples at the end with append.")
OVEN = Query("oven", "Wait until the oven is hot, with a while loop.")


def test_the_words_that_matched_are_shown_as_they_are_said() -> None:
    (match,) = Course(SMALL).rank(Query("x", "appending apples", solution="basket.append('apple')"), limit=1)
    assert (match.lecture, match.start) == ("b", 60)
    assert {(reason.word, reason.kind) for reason in match.reasons} >= {
        ("append", "text"),
        ("apple", "text"),
        ("end", "code"),
    }
    assert match.score == pytest.approx(sum(reason.score for reason in match.reasons))
    assert [reason.score for reason in match.reasons] == sorted((r.score for r in match.reasons), reverse=True)


def test_nothing_in_common_is_no_match() -> None:
    nothing = Query("x", "Quantum chromodynamics")
    assert Course(SMALL).rank(nothing) == []
    assert Course(SMALL).match(nothing) is None
    assert Course([]).match(APPLES) is None
    assert Course(SMALL).match(Query("x", "")) is None


def test_a_weak_match_is_ranked_and_not_good() -> None:
    weak = Query("x", "Calculate the orbit of a comet from three observations of another day")
    assert Course(SMALL).rank(weak)[0].lecture == "b"
    assert Course(SMALL).match(weak) is None


def test_a_pin_counts_more_than_words() -> None:
    pinned = Course(SMALL, [Pin("apples", "a", 130)])
    match = pinned.match(APPLES)
    assert match is not None
    assert (match.lecture, match.start, match.shown, match.pinned, match.confidence) == ("a", 130, 130, True, 1.0)
    assert [found.lecture for found in pinned.rank(APPLES)][:2] == ["a", "b"]
    assert [found.lecture for found in pinned.rank(APPLES, lecture="b")] == ["b"]
    assert align(pinned, [APPLES, OVEN])[0] == match


def test_a_pin_is_a_label_that_measures_the_words() -> None:
    pinned = Course(SMALL, [Pin("apples", "b", 60), Pin("oven", "b", 0)])
    labels = [Label("apples", "b", 60, 118), Label("oven", "b", 0, 58)]
    found = evaluate(pinned, [APPLES, OVEN], labels)
    assert (found.labs, found.first, found.third_in_video) == (2, 0.5, 0.5)
    assert evaluate(pinned, [APPLES], []).labs == 0


def test_a_pin_to_a_video_that_is_not_there_is_refused() -> None:
    with pytest.raises(LabsError, match="'apples' is pinned to the video 'z', which the course lacks"):
        Course(SMALL, [Pin("apples", "z", 1)])
    with pytest.raises(LabsError, match="no video 'z'; it has a, b"):
        labs_at(Course(SMALL), "z", 1, [APPLES])


def test_a_lab_out_of_order_is_left_out_rather_than_all_others() -> None:
    found = align(Course(SMALL), [OVEN, APPLES, OVEN])
    assert [match and match.lecture for match in found] == ["a", "b", None]


def test_a_second_of_a_video_gives_the_labs_to_try_now() -> None:
    here = Course(SMALL)
    assert [match.lab for match in labs_at(here, "a", 90, [APPLES, OVEN])] == ["oven"]
    assert [match.lab for match in labs_at(here, "a", 130, [APPLES, OVEN])] == ["oven"]  # it has just been heard
    assert labs_at(here, "a", 5, [APPLES, OVEN]) == []


def test_a_video_stops_for_labs_where_they_have_been_explained_and_not_too_often() -> None:
    found = offers(course(), "04-loops", [query(lab) for half in ("tuning", "held-out") for lab in labs(half)])
    assert len(found) > 3
    assert all(after.at - before.at >= APART for before, after in pairwise(found))
    assert all(offer.at == offer.match.end and offer.match.good for offer in found)


def test_text_of_another_language_does_not_count_and_code_does() -> None:
    here = Course(SMALL)
    text = "Setze die Äpfel mit append an das Ende der Liste, die auf dem Tisch ist und nicht im Ofen"
    assert here.rank(Query("x", text)) == []
    assert here.rank(Query("x", text, solution="basket.append(1)"))[0].start == 60
    assert here.rank(Query("x", text, language="en")) != []


def test_lectures_of_several_languages_make_one_course() -> None:
    spanish = parse_transcript(
        "[1] vamos a añadir una manzana al final de la lista con el método append que es para esto"
    )
    both = Course([*SMALL, Lecture("es", spanish)])
    assert (
        both.rank(Query("x", "Añade las manzanas al final de la lista que está aquí, no en el horno"))[0].lecture
        == "es"
    )
    assert both.rank(APPLES)[0].lecture == "b"


# ---- the parts


def test_windows_overlap_and_end_at_chapters() -> None:
    cues = tuple(Cue(10.0 * n, 10.0 * n + 9.5, f"w{n}") for n in range(12))
    plain = windows(Transcript(cues, Format.VTT))
    assert [(window.start, window.end) for window in plain] == [(0, 59.5), (20, 79.5), (40, 99.5), (60, 119.5)]
    cut = windows(Transcript(cues, Format.VTT, "", (Chapter(0, "A"), Chapter(70, "B"))))
    assert [(window.start, window.end, window.chapter) for window in cut] == [
        (0, 59.5, "A"),
        (20, 69.5, "A"),
        (70, 119.5, "B"),
    ]
    assert {text for window in cut for text in window.text.split()} == {cue.text for cue in cues}


def test_watching_starts_after_a_pause_or_a_little_before() -> None:
    def shown(gap: float) -> float:
        cues = (Cue(0, 58 - gap, "a"), Cue(58, 59.9, "b"), Cue(60, 70, "c"))
        return windows(Transcript(cues, Format.VTT), seconds=59, stride=59)[-1].shown

    assert shown(gap=2) == 58
    assert shown(gap=0.5) == 57


def test_silence_of_hours_ends() -> None:
    cues = (Cue(0, 1, "a"), Cue(40_000, 40_001, "b"))
    assert [window.text for window in windows(Transcript(cues, Format.VTT))] == ["a", "b"]


def test_rare_words_count_more_and_absent_ones_nothing() -> None:
    index = Index([["loop", "x"], ["loop", "y"], ["loop"]])
    assert index.scores({"y": 1.0})[1] > index.scores({"loop": 1.0})[1] > 0
    assert index.scores({"z": 1.0}) == [0, 0, 0]
    assert index.parts({"y": 1.0, "loop": 0.5}, 1).keys() == {"y", "loop"}
    assert index.weight("z") == index.weight("y") == index.rarest


def test_words_are_compared_by_stems_of_their_language() -> None:
    assert Words("en").of("The loops were looping, isn't it?") == ["loop", "loop"]
    assert Words("en").of_name("countWords_byName") == ["count", "word", "name"]
    assert Words("es").of("las manzanas") == Words("es").of("manzana")


PROGRAM = '''
import csv

def total(rows, start=0):
    """Long text that nobody says, and that is far more than sixty characters long."""
    for row in rows:
        for cell in row:
            if cell % 2 == 0:
                start += cell
            elif not cell:
                break
    return start

with open("a.txt", mode="a") as file:
    print(f"{total([]):.2f}", end="")
'''


def test_a_program_becomes_concepts_and_names() -> None:
    found = features_of(PROGRAM)
    assert {
        "loops.for",
        "loops.nested",
        "loops.break",
        "numbers.remainder",
        "conditions.elif",
        "functions.default",
        "files.append",
        "files.with",
        "strings.decimals",
        "modules.import",
        "print.end",
    } <= set(found.concepts)
    assert {"total", "rows", "csv", "a.txt"} <= set(found.names)
    assert not any("Long text" in name for name in found.names)


@pytest.mark.parametrize("source", ["def (", "x = '\0'", "(" * 5000, "-" * 100_000 + "1"])
def test_what_is_no_program_has_no_features(source: str) -> None:
    assert features_of(source) == NOTHING


def test_what_most_programs_have_counts_half_unless_it_is_all() -> None:
    assert weighed(["call.print", "loops.while"]) == {"call.print": 0.5, "loops.while": 1.0}
    assert weighed(["call.print"]) == {"call.print": 1.0}


def test_every_word_of_the_vocabulary_is_for_a_concept_that_is_found() -> None:
    source = files("code_labs.matching").joinpath("features.py").read_text()
    tables = tomllib.loads(files("code_labs.matching").joinpath("vocabulary.toml").read_text())
    free = ("call.", "method.", "classes.")  # named after what the program calls
    assert [name for name in tables["en"] if not name.startswith(free) and f'"{name}"' not in source] == []
    assert vocabulary("xx") == tables["en"]
