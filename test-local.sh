#!/usr/bin/env bash
# Send the README's requests to the image and to a running server (`make serve` in another terminal).
# BASE_URL: where the server is (default http://localhost:8000). Ends with "N passed, N failed".
set -uo pipefail
base=${BASE_URL:-http://localhost:8000}
passed=0 failed=0

expect() { # NAME ANSWER PYTHON-CONDITION-ON-r
    if python3 -c "import json, sys; r = json.loads(sys.argv[1]); sys.exit(not ($3))" "$2" 2>/dev/null; then
        echo "ok    $1"; passed=$((passed + 1))
    else
        echo "FAIL  $1: $2"; failed=$((failed + 1))
    fi
}

execute() {
    curl -s -X POST "$base/api/execute" -H "Content-Type: application/json" -d "$1"
}

if docker image inspect code-executor:latest >/dev/null 2>&1; then
    expect "docker run, one shot" \
        "$(echo '{"code": "print(\"Hello World!\")", "timeout": 5}' | docker run --rm -i code-executor:latest)" \
        'r["status"] == "success" and r["output"] == "Hello World!\n" and r["error"] == "" and r["execution_time"] < 1000'
else
    echo "skip  docker run, one shot: no image code-executor:latest here (make image)"
fi

if ! curl -s -o /dev/null "$base/healthz"; then
    echo "no server answers at $base: start one with \`make serve\`" >&2
    exit 1
fi
expect "1 basic execution" \
    "$(execute '{"code": "print(\"Hello from API!\")", "language": "python"}')" \
    'r["status"] == "success" and r["output"] == "Hello from API!\n"'
expect "2 error handling" \
    "$(execute '{"code": "raise ValueError(\"Test error\")", "language": "python"}')" \
    'r["status"] == "error" and r["output"] == "" and r["error"].startswith("Traceback") and r["error"].endswith("ValueError: Test error")'
expect "3 timeout" \
    "$(execute '{"code": "import time\ntime.sleep(35)", "language": "python", "timeout": 5}')" \
    'r["status"] == "timeout" and r["error"] == "Execution exceeded 5 second timeout" and 5000 <= r["executionTime"] < 6000'
expect "4 with libraries" \
    "$(execute '{"code": "import json\ndata = {\"test\": 123}\nprint(json.dumps(data))", "language": "python"}')" \
    'r["status"] == "success" and r["output"] == "{\"test\": 123}\n"'
expect "5 code validation" \
    "$(execute '{"code": "import os\nos.system(\"ls\")", "language": "python"}')" \
    'r["status"] == "error" and r["reason"] == "policy" and "import os" in r["error"]'

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
