"""Receipts: what they claim, who may be told what of it, what is refused, and what a regrade finds."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from code_executor import __version__
from code_executor.core.caller import Caller
from code_executor.core.limits import Limits
from code_executor.core.models import File, Reason
from code_executor.grading import forms, receipts, views
from code_executor.grading.outcomes import Grade, Outcome, Receipts, Submission, Verdict
from code_executor.grading.receipts import (
    MOST_TEXT,
    TYPE,
    Previous,
    ReceiptForgedError,
    ReceiptFormError,
    Site,
    Subject,
    digest_of,
    verify,
)
from code_executor.grading.scores import score
from code_executor.grading.signing import Ring, to_text
from code_executor.grading.suite import Suite
from code_executor.grading.views import Audience
from tests.unit.grading.made import io, suite
from tests.unit.grading.test_views import ANSWER, INPUT, LEVELS, OUTPUT, graded, planted

RING = Ring.new()
SITE = Site("native", "default", "sha256:" + "0" * 64, Limits())
ADA = Caller("key", "ada-hash", course="cs1")
CODE = "print(1)"
NOW = 1_800_000_000.0


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def grade_of(made: Suite, *printed: str, verdict: Verdict | None = None) -> Grade:
    """Return a grade of tests that printed this, and are passed if they printed what was expected."""
    outcomes = []
    for test, text in zip(made.tests, printed, strict=True):
        passed = text == getattr(test.task, "expected", None)
        found = verdict or (Verdict.PASSED if passed else Verdict.WRONG_ANSWER)
        outcomes.append(Outcome(test, found, Reason.COMPLETED, stdout=text, fraction=float(passed)))
    reached, points, best, groups = score(made, outcomes)
    return Grade("0f", reached, points, best, tuple(outcomes), groups)


def issued(grade: Grade, made: Suite, *, site: Site = SITE, now: float = NOW, **more: Any) -> Grade:
    subject = Subject(more.pop("submission", Submission(CODE, caller=ADA)), made, **more)
    return receipts.issue(RING, grade, subject, site, now)


def both(grade: Grade) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the full receipt claims, and what a learner's does."""
    found = kept(grade)
    return verify(found.full.text, RING.keys), verify(found.rest.text, RING.keys)


def kept(grade: Grade) -> Receipts:
    assert grade.receipts is not None
    return grade.receipts


# ---- what is claimed


def test_a_receipt_claims_what_was_graded_where_and_what_came_of_it() -> None:
    made = suite(io("1", id="one"), io("2", id="two"))
    submission = Submission(CODE, (File("data/a.txt", b"abc"),), ADA)
    full, rest = both(issued(grade_of(made, "1", "x"), made, submission=submission, reference=f"week@{'a' * 64}"))
    test = {"id": "one", "verdict": "passed", "score": 1.0, "trust": "isolated", "out": sha256("1")}
    assert full == {
        "iss": RING.issuer,
        "iat": int(NOW),
        "jti": "0f",
        "sub": "ada-hash",
        "code": sha256(CODE),
        "files": {"data/a.txt": sha256("abc")},
        "suite": f"week@{'a' * 64}",
        "env": {"name": "default", "digest": SITE.digest},
        "policy": "",
        "limits": {
            "wallTime": Limits().wall_time,
            "cpuTime": Limits().cpu_time,
            "memory": Limits().memory,
            "output": Limits().output,
            "processes": Limits().processes,
            "disk": Limits().disk,
        },
        "server": __version__,
        "engine": "native",
        "verdict": "partial",
        "tests": [test, {**test, "id": "two", "verdict": "wrong_answer", "score": 0.0, "out": sha256("x")}],
        "score": 1.0,
        "max": 2.0,
        "prev": None,
    }
    assert full.keys() - rest.keys() == {"suite"}
    assert rest.keys() - full.keys() == {"full", "sealed"}


def test_the_header_names_the_key_and_nothing_else() -> None:
    made = suite(io("1"))
    header = jwt.get_unverified_header(kept(issued(grade_of(made, "1"), made)).full.text)
    assert header == {"alg": "EdDSA", "kid": RING.keys[0].kid, "typ": TYPE}


def test_the_suite_of_a_request_is_known_by_its_content() -> None:
    made = suite(io("1"))
    full, _ = both(issued(grade_of(made, "1"), made))
    assert full["suite"] == forms.address(forms.canonical(made))


def test_without_a_learner_there_is_no_subject() -> None:
    made = suite(io("1"))
    full, rest = both(issued(grade_of(made, "1"), made, submission=Submission(CODE, caller=Caller("203.0.113.7"))))
    assert "sub" not in full.keys() | rest.keys()
    assert "203.0.113.7" not in json.dumps([full, rest])


def test_a_test_that_was_not_run_printed_nothing() -> None:
    made = suite(io("1"))
    skipped = replace(grade_of(made, "1"), outcomes=(Outcome(made.tests[0], Verdict.SKIPPED),))
    assert both(issued(skipped, made))[0]["tests"][0]["out"] is None


def test_a_receipt_of_the_largest_suite_is_not_too_large() -> None:
    names = [f"{number:04}" + "n" * 96 for number in range(1000)]
    made = suite(*[io("1", id=name) for name in names])
    files = tuple(File(f"{number:02}" + "f" * 198, b"") for number in range(64))
    text = kept(issued(grade_of(made, *["1"] * 1000), made, submission=Submission(CODE, files, ADA))).full.text
    assert len(text) < MOST_TEXT
    assert len(verify(text, RING.keys)["tests"]) == 1000


# ---- who is told what


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("level", LEVELS)
def test_a_learners_receipt_gives_nothing_away(level: str, verdict: Verdict) -> None:
    tests = [
        {**each, "id": f"id-{level}-{each['id']}", "name": f"name-{level}", "group": f"group-{level}"}
        for each in planted(level)
    ]
    made = suite(*tests, io(ANSWER, id="shown"))
    grade = issued(graded(made, verdict), made, reference=f"secret-suite@{'b' * 64}")
    full, rest = both(grade)
    text = json.dumps(rest) + json.dumps(jwt.get_unverified_header(kept(grade).rest.text))
    secrets = [INPUT, OUTPUT, ANSWER, f"name-{level}", f"group-{level}", "secret-suite", "b" * 64, forms.digest(made)]
    assert [secret for secret in secrets if secret in text] == []
    assert (f"id-{level}" in text) == (level != "hidden")
    assert (sha256(OUTPUT) in json.dumps(rest["tests"][:-1])) == (level in ("full", "input"))
    if level == "result":
        assert {test["verdict"] for test in rest["tests"][:-1]} == {views.plain(verdict)}
        assert {frozenset(test) for test in rest["tests"][:-1]} == {frozenset({"id", "verdict", "score"})}
    assert len(full["tests"]) == len(tests) + 1
    # the twin: the full one has it
    assert (f"id-{level}-io" in json.dumps(full), f"secret-suite@{'b' * 64}" in json.dumps(full)) == (True, True)


def test_both_receipts_of_a_grade_can_be_matched() -> None:
    made = suite(io("1"), io("2", visibility="hidden"))
    one, two = issued(grade_of(made, "1", "2"), made), issued(grade_of(made, "1", "x"), made)
    assert both(one)[1]["full"] == digest_of(kept(one).full.text)
    assert both(two)[1]["full"] != digest_of(kept(one).full.text)


def test_which_suite_it_was_only_this_service_can_open() -> None:
    made = suite(io("1"))
    grade = issued(grade_of(made, "1"), made, reference=f"week@{'a' * 64}")
    full, rest = both(grade)
    assert receipts.suite_of(full, RING) == receipts.suite_of(rest, RING) == f"week@{'a' * 64}"
    assert receipts.suite_of(rest, RING.rotated()) == f"week@{'a' * 64}"
    assert receipts.suite_of(rest, Ring.new()) == ""
    assert receipts.suite_of({**rest, "jti": "another"}, RING) == ""
    assert receipts.suite_of({**rest, "sealed": "*"}, RING) == ""
    assert both(issued(grade_of(made, "1"), made, reference=f"week@{'a' * 64}"))[1]["sealed"] != rest["sealed"]


def test_each_is_told_its_own_receipt() -> None:
    made = suite(io("1"))
    grade = issued(grade_of(made, "1"), made)
    for full, text in ((True, kept(grade).full.text), (False, kept(grade).rest.text)):
        assert views.grade_object(grade, Audience(full, NOW))["receipt"] == text
    assert views.grade_object(grade_of(made, "1"), Audience(full=True, now=NOW))["receipt"] is None


def test_a_test_is_in_a_learners_receipt_when_it_is_shown() -> None:
    made = suite(io("1", visibility={"after": "2027-02-01T12:00:00Z"}))
    then = 1_801_483_200.0
    numbers = [len(both(issued(grade_of(made, "1"), made, now=now))[1]["tests"]) for now in (then - 1, then)]
    assert numbers == [0, 1]


# ---- what is refused


def token() -> str:
    made = suite(io("1"), io("2"))
    return kept(issued(grade_of(made, "1", "x"), made)).full.text


def part(value: object) -> str:
    return to_text(json.dumps(value).encode())


def changed(text: str, **claims: Any) -> str:
    """Return a receipt with other claims under the same signature."""
    head, body, signature = text.split(".")
    told = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return ".".join([head, part({**told, **claims}), signature])


def test_a_changed_receipt_is_not_genuine() -> None:
    text = token()
    head, body, signature = text.split(".")
    for forged in (
        changed(text, score=2.0),
        changed(text, sub="bob"),
        f"{head}.{body}.{'A' * 86}",
        f"{head}.{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}",
    ):
        with pytest.raises(ReceiptForgedError, match="changed after it was signed"):
            verify(forged, RING.keys)
    assert verify(text, RING.keys)["score"] == 1.0


def test_a_signature_has_one_spelling() -> None:
    text = token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = alphabet.index(text[-1])
    same_bytes = text[:-1] + alphabet[at ^ 1]
    pad = "=="
    decoded = [base64.urlsafe_b64decode(each.rpartition(".")[2] + pad) for each in (text, same_bytes)]
    assert decoded[0] == decoded[1]
    with pytest.raises(ReceiptFormError):
        verify(same_bytes, RING.keys)


def test_a_receipt_of_another_server_is_not_genuine() -> None:
    with pytest.raises(ReceiptForgedError, match="another key"):
        verify(token(), Ring.new().keys)
    with pytest.raises(ReceiptForgedError, match="another key"):
        verify(token(), ())


def test_a_receipt_under_the_name_of_our_key_is_not_genuine() -> None:
    stranger = ed25519.Ed25519PrivateKey.generate()
    claims = jwt.decode(token(), options={"verify_signature": False})
    forged = jwt.encode(claims, stranger, "EdDSA", headers={"kid": RING.keys[0].kid, "typ": TYPE})
    with pytest.raises(ReceiptForgedError, match="changed"):
        verify(forged, RING.keys)


def by_secret(secret: bytes, **header: str) -> str:
    """Return a receipt with HS256, made with whatever somebody takes for a secret."""
    body = token().split(".")[1]
    text = f"{part({'alg': 'HS256', 'kid': RING.keys[0].kid, 'typ': TYPE, **header})}.{body}"
    return f"{text}.{to_text(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def test_other_algorithms_are_refused() -> None:
    body = token().split(".")[1]
    public = ed25519.Ed25519PublicKey.from_public_bytes(RING.keys[0].x)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    header = {"kid": RING.keys[0].kid, "typ": TYPE}
    for forged in (
        by_secret(pem),
        by_secret(RING.keys[0].x),
        *(f"{part({'alg': name, **header})}.{body}.{sign}" for name in ("none", "None", "") for sign in ("", "A" * 86)),
        f"{part(header)}.{body}.{'A' * 86}",
    ):
        with pytest.raises(ReceiptFormError, match="its algorithm must be EdDSA"):
            verify(forged, RING.keys)
    # nor does it help to say the right one
    with pytest.raises(ReceiptForgedError):
        verify(by_secret(RING.keys[0].x, alg="EdDSA"), RING.keys)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"typ": "JWT"}, "its type must be"),
        ({"typ": None}, "its type must be"),
        ({"jku": "https://evil.example/keys"}, "alg, kid and typ, and nothing else"),
        ({"jwk": {}}, "nothing else"),
        ({"crit": ["x"], "x": 1}, "it is not a receipt"),
        ({"kid": 7}, "it is not a receipt"),
    ],
)
def test_a_header_that_says_more_or_something_else_is_refused(header: dict[str, Any], why: str) -> None:
    _, body, signature = token().split(".")
    usual = {"alg": "EdDSA", "kid": RING.keys[0].kid, "typ": TYPE}
    with pytest.raises(ReceiptFormError, match=why):
        verify(f"{part({**usual, **header})}.{body}.{signature}", RING.keys)


def test_a_token_of_a_learner_is_no_receipt() -> None:
    with pytest.raises(ReceiptFormError):
        verify(jwt.encode({"sub": "ada"}, "s" * 32, "HS256"), RING.keys)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "a.b",
        "a.b.c",
        "..",
        "a.b.c.d",
        "e30.e30." + "A" * 86,
        "é.é.é",
        "a" * (MOST_TEXT + 1),
    ],
)
def test_what_has_not_the_form_is_refused(text: str) -> None:
    with pytest.raises(ReceiptFormError):
        verify(text, RING.keys)


def test_deep_claims_and_headers_end_nothing() -> None:
    deep = to_text(b"[" * 100_000)
    for text in (f"{deep}.{deep}.{'A' * 86}", f"{token().split('.')[0]}.{deep}.{'A' * 86}"):
        with pytest.raises((ReceiptFormError, ReceiptForgedError)):
            verify(text, RING.keys)


def test_claims_that_lack_something_are_refused_whoever_signed_them() -> None:
    with pytest.raises(ReceiptFormError, match="missing"):
        verify(receipts.sign({"iss": RING.issuer, "sub": "ada"}, RING), RING.keys)


# ---- graded again

SHOWN = suite(io("1", id="one"), io("2", id="two"))


def again(
    before: Grade, after: Grade, made: Suite, *, of: str = "full", **more: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Grade again what ``before`` has a receipt of; return what is told of it in full, and what a learner is told."""
    text = getattr(kept(before), of).text
    grade = issued(after, made, previous=Previous(verify(text, RING.keys), digest_of(text)), **more)
    full, rest = both(grade)
    assert full["prev"] == rest["prev"] == digest_of(text)
    told = [views.grade_object(grade, Audience(each, NOW)) for each in (True, False)]
    return told[0], told[1]


SAME = {"same": True, "differs": [], "flaky": [], "why": []}


@pytest.mark.parametrize("of", ["full", "rest"])
def test_the_same_is_the_same(of: str) -> None:
    made = suite(io("1", id="one"), io("2", id="two", visibility="hidden"), io("3", visibility="result"))
    first = issued(grade_of(made, "1", "x", "y"), made)
    for told in again(first, grade_of(made, "1", "x", "y"), made, of=of):
        assert told["regrade"] == SAME
        assert not any("flaky" in test for test in told["tests"])


def test_a_test_that_prints_something_else_is_flaky() -> None:
    first = issued(grade_of(SHOWN, "1", "x"), SHOWN)
    for told in again(first, grade_of(SHOWN, "1", "y"), SHOWN):
        assert told["regrade"] == {"same": False, "differs": ["two"], "flaky": ["two"], "why": ["not deterministic"]}
        assert [test.get("flaky") for test in told["tests"]] == [None, True]


@pytest.mark.parametrize(
    ("more", "why", "is_flaky"),
    [
        ({"submission": Submission("print(2)", caller=ADA)}, "code", False),
        ({"submission": Submission(CODE, (File("a", b""),), ADA)}, "files", False),
        ({"site": replace(SITE, digest="sha256:1")}, "environment", False),
        ({"site": replace(SITE, limits=replace(Limits(), wall_time=1.0))}, "limits", True),
        ({"site": replace(SITE, engine="docker")}, "engine", True),
        ({"reference": f"week@{'c' * 64}"}, "suite", False),
    ],
)
def test_what_was_another_thing_is_named(more: dict[str, Any], why: str, is_flaky: bool) -> None:
    first = issued(grade_of(SHOWN, "1", "x"), SHOWN)
    for told in again(first, grade_of(SHOWN, "1", "2"), SHOWN, **more):
        assert told["regrade"]["why"] == [f"{why} changed"]
        assert (told["regrade"]["same"], told["regrade"]["differs"]) == (False, ["two"])
        assert told["regrade"]["flaky"] == (["two"] if is_flaky else [])
    for told in again(first, grade_of(SHOWN, "1", "x"), SHOWN, **more):
        assert (told["regrade"]["same"], told["regrade"]["why"]) == (True, [f"{why} changed"])


def test_a_server_of_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    first = issued(grade_of(SHOWN, "1", "x"), SHOWN)
    monkeypatch.setattr(receipts, "__version__", "9")
    for told in again(first, grade_of(SHOWN, "1", "x"), SHOWN):
        assert told["regrade"]["why"] == ["server changed"]


def test_the_same_suite_under_another_name_is_the_same_suite() -> None:
    version = forms.digest(SHOWN)
    first = issued(grade_of(SHOWN, "1", "x"), SHOWN, reference=f"week@{version}")
    for told in again(first, grade_of(SHOWN, "1", "x"), SHOWN):
        assert told["regrade"] == SAME


def test_where_the_environment_is_not_known_nothing_is_called_flaky() -> None:
    unknown = replace(SITE, digest=None)
    first = issued(grade_of(SHOWN, "1", "x"), SHOWN, site=unknown)
    for told in again(first, grade_of(SHOWN, "1", "y"), SHOWN, site=unknown):
        assert (told["regrade"]["differs"], told["regrade"]["flaky"]) == (["two"], [])


def test_tests_that_are_new_or_gone_differ() -> None:
    other = suite(io("1", id="one"), io("3", id="three"))
    first = issued(grade_of(SHOWN, "1", "2"), SHOWN)
    for of, differ in (("full", (["three", "two"], [])), ("rest", ([], ["three", "two"]))):
        told = again(first, grade_of(other, "1", "3"), other, of=of)
        assert [each["regrade"]["why"] for each in told] == [["suite changed"]] * 2
        # what only one of two receipts could tell of is no difference
        assert tuple(each["regrade"]["differs"] for each in told) == differ


@pytest.mark.parametrize("of", ["full", "rest"])
@pytest.mark.parametrize("level", ["hidden", "result"])
def test_a_regrade_tells_learners_nothing_of_tests_that_they_do_not_see(level: str, of: str) -> None:
    made = suite(io("1", id="one"), io("2", id="planted", visibility=level))
    first = issued(grade_of(made, "1", "x"), made)
    full, rest = again(first, grade_of(made, "1", "y"), made, of=of)  # it printed something else, and failed again
    assert rest["regrade"] == SAME
    assert full["regrade"]["differs"] == (["planted"] if of == "full" else [])
    assert ("planted" in json.dumps(rest)) == (level == "result")
    full, rest = again(first, grade_of(made, "1", "2"), made, of=of)  # it passed
    assert rest["regrade"]["differs"] == (["planted"] if level == "result" else [])
    assert rest["regrade"]["flaky"] == []
    assert not rest["regrade"]["same"]  # the score says as much
