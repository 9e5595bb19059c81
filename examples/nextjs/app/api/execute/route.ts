import { credentials, hasSecret, learnerOf } from "@/lib/learner";
import { forward } from "@/lib/upstream";

export const dynamic = "force-dynamic";
/** Seconds, on hosts that end long answers: the longest run and its wait for a sandbox. */
export const maxDuration = 90;

export function POST(request: Request): Promise<Response> {
  return forward(request, "/api/execute", hasSecret ? credentials(learnerOf(request)) : undefined);
}
