"""A stand-in for the API of labs: it keeps a course in memory, and answers as the real one does.

What is not of labs it passes on to a real server.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from code_executor.api import pages


def now() -> str:
    return datetime.now(UTC).isoformat()


def problem(status: int, detail: str, **more: object) -> JSONResponse:
    return JSONResponse({"type": "about:blank", "title": "Refused", "status": status, "detail": detail, **more}, status)


class StandIn:
    """One teacher's courses, and what learners did."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.courses: dict[str, dict[str, Any]] = {}
        self.work: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []

    def of(self, request: Request, lab: str = "") -> dict[str, Any]:
        key = (request.headers.get("x-learner", ""), request.path_params["course"], lab or request.path_params["lab"])
        return self.work.setdefault(key, {"hints": 0, "draft": None, "attempts": 0, "passed": None})

    def course(self, request: Request) -> dict[str, Any]:
        return self.courses[request.path_params["course"]]

    def lab(self, request: Request) -> dict[str, Any]:
        found: dict[str, Any] = self.course(request)["labs"][request.path_params["lab"]]
        return found

    def moments(self, course: dict[str, Any], lab: str) -> list[dict[str, Any]]:
        pins = course["labs"][lab]["pins"].items()
        return [{"video": v, "start": p["start"], "end": p.get("end"), "by": "teacher", "words": ["twice"]} for v, p in pins]

    # learners

    async def list_courses(self, request: Request) -> Response:
        told = [{"course": k, "title": c["title"], "labs": len(c["labs"]), "passed": 0} for k, c in self.courses.items()]
        return JSONResponse({"courses": told})

    async def get_course(self, request: Request) -> Response:
        if request.path_params["course"] not in self.courses:
            return problem(404, "There is no such course.")
        course = self.course(request)
        labs = []
        for name, kept in course["labs"].items():
            if kept["status"] != "published":
                continue
            lab, work = kept["lab"], self.of(request, name)
            state = "passed" if work["passed"] else "begun" if work["draft"] or work["attempts"] else "new"
            labs.append(
                {
                    **{"lab": name, "title": lab["title"], "summary": lab.get("summary", ""), "difficulty": 1},
                    **{"concepts": [], "kind": "write", "version": 1, "state": state},
                    "moments": self.moments(course, name),
                }
            )
        head = {"course": request.path_params["course"], "title": course["title"], "language": "en"}
        return JSONResponse({**head, "videos": list(course["videos"].values()), "labs": labs})

    async def suggestions(self, request: Request) -> Response:
        course, t = self.course(request), float(request.query_params["t"])
        video = request.path_params["video"]
        labs = []
        for name, kept in course["labs"].items():
            pin = kept["pins"].get(video)
            if pin and pin["start"] <= t <= pin["start"] + 60:
                place = {"start": pin["start"], "end": pin.get("end"), "by": "teacher", "words": []}
                labs.append({"lab": name, "title": kept["lab"]["title"], **place})
        return JSONResponse({"labs": labs})

    async def view(self, request: Request) -> Response:
        kept, work = self.lab(request), self.of(request)
        lab, course = kept["lab"], self.course(request)
        tests = [
            {"name": "", "group": "", "weight": 1, "visibility": "full", **test}
            for test in lab["suite"]["tests"]
            if test.get("visibility") != "hidden"
        ]
        given = [{"number": n + 1, "text": text} for n, text in enumerate(lab["hints"][: work["hints"]])]
        done = work["passed"] and {"firstAt": work["passed"], "attempts": work["attempts"], "seconds": 60, "hints": 0}
        return JSONResponse(
            {
                **{"lab": request.path_params["lab"], "version": kept["version"], "summary": lab.get("summary", "")},
                **{"title": lab["title"], "goals": lab.get("goals", []), "concepts": lab.get("concepts", [])},
                **{"difficulty": 1, "language": "en", "kind": "write", "policy": "strict", "files": []},
                **{"task": lab["task"], "starter": lab["starter"], "hints": len(lab["hints"]), "given": given},
                **{"tests": tests, "moments": self.moments(course, request.path_params["lab"])},
                **{"draft": work["draft"], "completion": done},
            }
        )

    async def submit(self, request: Request) -> Response:
        code, work = (await request.json())["code"], self.of(request)
        passed = code == self.lab(request)["lab"]["solution"]
        work["attempts"] += 1
        if passed:
            work["passed"] = work["passed"] or now()
        ids = ["1", "2"]
        verdict = "passed" if passed else "wrong_answer"
        tests = [
            {
                **{"id": each, "name": None, "group": None, "verdict": verdict, "score": int(passed), "max": 1},
                **{"message": None if passed else "the result is not right", "got": "1", "expected": "2"},
            }
            for each in ids
        ]
        moments = self.moments(self.course(request), request.path_params["lab"])
        grade = {
            **{"id": "1", "verdict": "passed" if passed else "failed", "score": 2 * int(passed), "max": 2, "groups": []},
            **{"problems": [], "usage": None, "receipt": None, "attempt": "1", "passed": passed},
            "moment": None if passed or not moments else moments[0],
        }
        text = "".join(f"event: test\ndata: {json.dumps(test)}\n\n" for test in tests)
        return Response(text + f"event: grade\ndata: {json.dumps(grade)}\n\n", media_type="text/event-stream")

    async def draft(self, request: Request) -> Response:
        work = self.of(request)
        match, kept = request.headers.get("if-match"), work["draft"]
        expected = int(match.strip('"')) if match else None
        if (kept and kept["revision"]) != expected:
            return problem(409, "Another window was faster.", draft=kept)
        revision = (expected or 0) + 1
        work["draft"] = {"code": (await request.json())["code"], "revision": revision, "saved": now()}
        return JSONResponse({"revision": revision, "saved": work["draft"]["saved"]})

    async def hint(self, request: Request) -> Response:
        number, work = request.path_params["number"], self.of(request)
        if number > work["hints"] + 1:
            return problem(409, "Take the one before it first.")
        work["hints"] = max(work["hints"], number)
        return JSONResponse({"number": number, "text": self.lab(request)["lab"]["hints"][number - 1]})

    async def note(self, request: Request) -> Response:
        self.events += (await request.json())["events"]
        return Response(status_code=204)

    async def export_me(self, _: Request) -> Response:
        return Response(b"PK\x05\x06" + bytes(18), media_type="application/zip")

    async def forget_me(self, request: Request) -> Response:
        who = request.headers.get("x-learner", "")
        self.work = {key: kept for key, kept in self.work.items() if key[0] != who}
        return Response(status_code=204)

    # teachers

    async def taught(self, _: Request) -> Response:
        told = [
            {
                **{"course": name, "title": course["title"], "language": course["language"], "learners": 1},
                **{"videos": len(course["videos"]), "labs": len(course["labs"])},
            }
            for name, course in self.courses.items()
        ]
        return JSONResponse({"courses": told})

    async def put_course(self, request: Request) -> Response:
        course = self.courses.setdefault(request.path_params["course"], {"videos": {}, "labs": {}})
        course |= await request.json()
        return JSONResponse({})

    async def taught_course(self, request: Request) -> Response:
        course = self.course(request)
        labs = [
            {
                **{"lab": name, "title": kept["lab"]["title"], "moments": self.moments(course, name)},
                **{key: kept[key] for key in ("status", "version", "verified")},
            }
            for name, kept in course["labs"].items()
        ]
        head = {"course": request.path_params["course"], "title": course["title"], "language": course["language"]}
        return JSONResponse({**head, "videos": list(course["videos"].values()), "labs": labs})

    async def put_video(self, request: Request) -> Response:
        asked, name = await request.json(), request.path_params["video"]
        chapters = [{"start": 0, "title": "Hello"}, {"start": 60, "title": "Twice"}, {"start": 90, "title": "Bye"}]
        self.course(request)["videos"][name] = {
            **{"video": name, "title": asked["title"], "youtube": asked.get("youtube"), "url": asked.get("url")},
            **{"language": "en", "duration": 120, "chapters": chapters},
        }
        return JSONResponse({"segments": 3, "duration": 120, "chapters": chapters, "language": "en", "notes": []})

    async def match(self, request: Request) -> Response:
        asked, course = await request.json(), self.course(request)
        labs = course["labs"] if asked.get("all") else [asked["lab"]]
        place = {"video": next(iter(course["videos"])), "start": 60, "end": 90, "score": 3.5, "words": ["twice", "number"]}
        found = [{**place, "lab": lab, "confident": lab == "double"} for lab in labs]
        return JSONResponse({"matches": found, "confident": found[0]["confident"]})

    async def pin(self, request: Request) -> Response:
        pins = self.lab(request)["pins"]
        if request.method == "DELETE":
            del pins[request.path_params["video"]]
        else:
            pins[request.path_params["video"]] = await request.json()
        return JSONResponse({})

    async def taught_lab(self, request: Request) -> Response:
        labs, name = self.course(request)["labs"], request.path_params["lab"]
        if request.method == "PUT":
            before = labs.get(name, {"version": 0, "pins": {}, "status": "draft"})
            lab = (await request.json())["lab"]
            labs[name] = {**before, "lab": lab, "version": before["version"] + 1, "verified": False, "report": None}
        return JSONResponse({key: labs[name][key] for key in ("lab", "status", "version", "verified", "report")})

    async def verify(self, request: Request) -> Response:
        kept = self.lab(request)
        ok = "return 2 * x" in kept["lab"]["solution"] or "return 3 * x" in kept["lab"]["solution"]
        found = {"severity": "error", "code": "solution-fails", "message": "The solution does not pass the test 1."}
        findings = [] if ok else [found]
        numbers = {"mutants": 8, "killed": 8, "runs": 30, "seconds": 0.4}
        kept |= {"verified": ok, "report": {"ok": ok, "findings": findings, **numbers}}
        return JSONResponse(kept["report"])

    async def publish(self, request: Request) -> Response:
        kept = self.lab(request)
        if not kept["verified"]:
            return problem(409, "The newest version is not verified.")
        kept["status"] = "published"
        return JSONResponse({})

    async def generate(self, request: Request) -> Response:
        asked, labs = await request.json(), self.course(request)["labs"]
        lab = {"id": "halve", "title": "Halve", "task": "Write `halve`.", "starter": "", "hints": []}
        lab |= {"solution": asked.get("source", ""), "suite": {"tests": []}}
        report = {"ok": True, "findings": [], "mutants": 8, "killed": 8, "runs": 30, "seconds": 0.4}
        labs["halve"] = {"lab": lab, "version": 1, "pins": {}, "status": "draft", "verified": True, "report": report}
        events = [
            ("step", {"step": "read", "message": "Reading notes.py"}),
            ("lab", {"lab": lab, "report": report}),
            ("failed", {"why": "shout: it is never called"}),
            ("done", {"labs": 1}),
        ]
        text = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
        return Response(text, media_type="text/event-stream")

    async def analytics(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if request.query_params.get("format") == "csv":
            return PlainTextResponse("learner,lab\n0a,double\n", media_type="text/csv")
        days = [{"day": f"2026-11-{day:02}", "passed": day % 5, "active": day % 7} for day in range(1, 29)]
        shares = {"attempts": 2.5, "minutes": 7.25, "lastHint": 0.25, "left": None}
        rows: dict[str, list[dict[str, Any]]] = {
            "attention": [{"learner": "0a1b", "lab": "double", "why": "NameError 4 times in a row", "since": now()}],
            "labs": [{"lab": "double", "title": "Double", "opened": 9, "ran": 8, "submitted": 6, "passed": 4, **shares}],
            "errors": [{"lab": "double", "error": "NameError", "test": "1", "count": 7, "programs": ["print(y)\n"]}],
            "segments": [{"video": "week-1", "start": 60, "end": 90, "clicks": 5, "passedAfter": 3}],
            "pace": days,
        }
        return JSONResponse({"rows": rows[kind]})

    async def pass_on(self, request: Request) -> Response:
        client = httpx.AsyncClient(timeout=60)
        headers = {name: request.headers[name] for name in ("accept", "content-type") if name in request.headers}
        asked = client.build_request("POST", self.upstream + request.url.path, content=await request.body(), headers=headers)
        answer = await client.send(asked, stream=True)

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in answer.aiter_raw():
                yield piece
            await client.aclose()

        kept = {name: value for name, value in answer.headers.items() if name in ("content-type", "content-encoding")}
        return StreamingResponse(pieces(), answer.status_code, kept)

    def app(self) -> Starlette:
        root, course = "/api/labs/v1", "/courses/{course}"
        lab, teach = f"{root}{course}/labs/{{lab}}", f"{root}/teach"
        taught = f"{teach}{course}/labs/{{lab}}"
        routes = [
            (f"{root}/courses", self.list_courses, ["GET"]),
            (f"{root}{course}", self.get_course, ["GET"]),
            (f"{root}{course}/videos/{{video}}/suggestions", self.suggestions, ["GET"]),
            (f"{root}{course}/events", self.note, ["POST"]),
            (f"{root}/me/export", self.export_me, ["GET"]),
            (f"{root}/me", self.forget_me, ["DELETE"]),
            (lab, self.view, ["GET"]),
            (f"{lab}/submit", self.submit, ["POST"]),
            (f"{lab}/draft", self.draft, ["PUT"]),
            (f"{lab}/hints/{{number:int}}", self.hint, ["POST"]),
            (f"{teach}/courses", self.taught, ["GET"]),
            (f"{teach}{course}", self.put_course, ["PUT"]),
            (f"{teach}{course}", self.taught_course, ["GET"]),
            (f"{teach}{course}/videos/{{video}}", self.put_video, ["PUT"]),
            (f"{teach}{course}/match", self.match, ["POST"]),
            (f"{teach}{course}/generate", self.generate, ["POST"]),
            (f"{teach}{course}/analytics/{{kind}}", self.analytics, ["GET"]),
            (f"{taught}/pins/{{video}}", self.pin, ["PUT", "DELETE"]),
            (f"{taught}/verify", self.verify, ["POST"]),
            (f"{taught}/publish", self.publish, ["POST"]),
            (taught, self.taught_lab, ["GET", "PUT"]),
            ("/api/execute", self.pass_on, ["POST"]),
            ("/api/check", self.pass_on, ["POST"]),
        ]
        app = Starlette(routes=[Route(path, endpoint, methods=methods) for path, endpoint, methods in routes])
        pages.install(app, labs=True)
        return app


@contextmanager
def standing_in(upstream: str) -> Iterator[str]:
    """Serve it; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(StandIn(upstream).app(), log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
