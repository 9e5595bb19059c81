import { credentials, learnerOf } from "@/lib/learner";
import { forward } from "@/lib/upstream";

export const dynamic = "force-dynamic";
/** Seconds, on hosts that end long answers: a grade runs a program for each test. */
export const maxDuration = 90;

/** The learner's part of the API alone: nobody teaches through this site. */
const OPEN = new Set(["courses", "me"]);

async function pass(request: Request, { params }: { params: Promise<{ path: string[] }> }): Promise<Response> {
  const { path } = await params;
  if (!OPEN.has(path[0] ?? "") || path.some((part) => part === "." || part === "..")) {
    return Response.json({ title: "Not Found", status: 404 }, { status: 404 });
  }
  const learner = learnerOf(request);
  const target = `/api/labs/v1/${path.map(encodeURIComponent).join("/")}${new URL(request.url).search}`;
  const answer = await forward(request, target, credentials(learner));
  if (learner.cookie) answer.headers.append("set-cookie", learner.cookie);
  return answer;
}

export { pass as GET, pass as POST, pass as PUT };
