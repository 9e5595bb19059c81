#!/usr/bin/env bash
# Deploy the sandbox image to IBM Cloud Code Engine as the job `code-executor`. Usage: ./deploy.sh [--dry-run]
#
# Needs the IBM Cloud CLI (`ibmcloud login` done, plugins container-registry and code-engine) and Docker.
#   REGION, RESOURCE_GROUP, PROJECT, NAMESPACE, REGISTRY, JOB, TAG, MEMORY, CPU, MAX_EXECUTION_TIME: see the defaults below.
#   REGISTRY_SECRET: the project's secret that Code Engine pulls the image with. If the project has none of that name, it is
#   made, with the key of a new service ID that may read the namespace and do nothing else.
# --dry-run prints the commands and changes nothing. Every step can be repeated.
set -euo pipefail
cd "$(dirname "$0")"

REGION=${REGION:-us-south}
RESOURCE_GROUP=${RESOURCE_GROUP:-Default}
PROJECT=${PROJECT:-code-executor}
NAMESPACE=${NAMESPACE:-ranga}
REGISTRY=${REGISTRY:-us.icr.io}
JOB=${JOB:-code-executor}
REGISTRY_SECRET=${REGISTRY_SECRET:-code-executor-${REGISTRY//[^a-z0-9]/-}}
TAG=${TAG:-$(git rev-parse --short HEAD 2>/dev/null || echo latest)}
CPU=${CPU:-0.5}
MEMORY=${MEMORY:-1G} # the least Code Engine pairs with half a core (1G, 2G, 4G); the program itself is held to 512 MB
MAX_EXECUTION_TIME=${MAX_EXECUTION_TIME:-60}
image=$REGISTRY/$NAMESPACE/code-executor:$TAG

dry=
case ${1:-} in
--dry-run) dry=1 ;;
'') ;;
*) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

run() {
    printf '+ %s\n' "$*"
    [ -n "$dry" ] || "$@"
}

exists() { # in a dry run, take nothing to be there
    [ -z "$dry" ] && "$@" >/dev/null 2>&1
}

if [ -z "$dry" ]; then
    for tool in docker ibmcloud; do
        command -v "$tool" >/dev/null || { echo "deploy.sh: $tool is not installed" >&2; exit 1; }
    done
    ibmcloud target >/dev/null 2>&1 || { echo "deploy.sh: run \`ibmcloud login\` first" >&2; exit 1; }
fi

run scripts/build-image code-executor:latest
run ibmcloud target -r "$REGION" -g "$RESOURCE_GROUP"
run ibmcloud cr region-set "$REGION"
run ibmcloud cr login
exists sh -c "ibmcloud cr namespace-list | grep -qw '$NAMESPACE'" || run ibmcloud cr namespace-add "$NAMESPACE"
run docker tag code-executor:latest "$image"
run docker push "$image"
exists ibmcloud ce project get --name "$PROJECT" || run ibmcloud ce project create --name "$PROJECT"
run ibmcloud ce project select --name "$PROJECT"

if ! exists ibmcloud ce secret get --name "$REGISTRY_SECRET"; then
    reader=code-executor-$NAMESPACE-reader
    exists ibmcloud iam service-id "$reader" ||
        run ibmcloud iam service-id-create "$reader" --description "Lets Code Engine pull images of $NAMESPACE"
    exists sh -c "ibmcloud iam service-policies '$reader' | grep -q container-registry" ||
        run ibmcloud iam service-policy-create "$reader" --roles Reader --service-name container-registry \
            --resource-type namespace --resource "$NAMESPACE"
    # the key goes through a file that only we may read: arguments are seen by all users of a machine
    keys=$(umask 077 && mktemp -d)
    trap 'rm -rf "$keys"' EXIT
    run ibmcloud iam service-api-key-create "$REGISTRY_SECRET" "$reader" --file "$keys/key.json"
    run ibmcloud ce secret create --name "$REGISTRY_SECRET" --format registry --server "$REGISTRY" \
        --username iamapikey --password-from-json-file "$keys/key.json"
    rm -rf "$keys"
fi

verb=create
! exists ibmcloud ce job get --name "$JOB" || verb=update
run ibmcloud ce job "$verb" --name "$JOB" --image "$image" --registry-secret "$REGISTRY_SECRET" \
    --cpu "$CPU" --memory "$MEMORY" --maxexecutiontime "$MAX_EXECUTION_TIME" --retrylimit 0

cat <<EOF

Deployed $image as job $JOB. Run a program with it:
  ibmcloud ce jobrun submit --job $JOB --wait --env CODE_EXECUTOR_REQUEST='{"code": "print(1)", "timeout": 5}'
  ibmcloud ce jobrun list
  ibmcloud ce jobrun logs --name <jobrun-name>
EOF
