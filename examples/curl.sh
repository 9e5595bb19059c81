#!/usr/bin/env bash
# What the service answers, with curl. BASE_URL: where the server is (default http://localhost:8000).
set -euo pipefail
base=${BASE_URL:-http://localhost:8000}

execute() {
    curl -sS -X POST "$base/api/execute" -H "Content-Type: application/json" "$@"
    echo
}

echo "# a program with input and arguments"
execute -d '{"code": "import sys\nprint(input(), sys.argv[1:])", "stdin": "Ada\n", "args": ["a", "b"]}'

echo "# an error names its line"
execute -d '{"code": "x = 1\nprint(x / 0)"}'

echo "# the policy names everything that it refuses"
execute -d '{"code": "import os\nprint(eval(\"1\"))"}'

echo "# output as it is written"
execute -N -H "Accept: text/event-stream" -d '{"code": "import time\nprint(1)\ntime.sleep(0.2)\nprint(2)"}'

echo "# a request that is none"
execute -d '{"code": 1, "timeout": 0}'
