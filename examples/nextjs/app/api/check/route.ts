import { credentials, hasSecret, learnerOf } from "@/lib/learner";
import { forward } from "@/lib/upstream";

export const dynamic = "force-dynamic";

export function POST(request: Request): Promise<Response> {
  return forward(request, "/api/check", hasSecret ? credentials(learnerOf(request)) : undefined);
}
