# The image of a sandbox: an interpreter, the libraries of requirements.txt, and the agent. It listens to nothing and has
# nothing secret in it. Built by `make image`, by any docker builder (no BuildKit needed).
#
#   BASE_IMAGE   any Debian-like image with Python >= 3.11 and its venv module, or with apt to get them
#   build-ca.crt beside this file (optional): certificates that pip trusts, for users behind a corporate proxy
ARG BASE_IMAGE=python:3.13-slim-bookworm

FROM ${BASE_IMAGE} AS build
COPY requirements.txt build-ca.cr[t] /build/
RUN set -eu; \
    if ! python3 -c 'import venv, ensurepip, ctypes' 2>/dev/null; then \
        apt-get update; apt-get install -y --no-install-recommends python3 python3-venv; \
    fi; \
    if [ -e /build/build-ca.crt ]; then export PIP_CERT=/build/build-ca.crt; fi; \
    python3 -m venv --without-pip /opt/sandbox; \
    python3 -m venv /build/tools; \
    /build/tools/bin/pip --python /opt/sandbox/bin/python install --no-cache-dir --only-binary :all: -r /build/requirements.txt; \
    find /opt/sandbox -name tests -type d -prune -exec rm -rf {} +; \
    /opt/sandbox/bin/python -m compileall -q /opt/sandbox/lib || true
COPY src/sandbox_agent /opt/agent/sandbox_agent
RUN set -eu; \
    find /opt/agent -name __pycache__ -prune -exec rm -rf {} +; \
    chmod -R go=u,go-w /opt/agent; \
    /opt/sandbox/bin/python -m compileall -q /opt/agent

FROM ${BASE_IMAGE}
# What a sandbox does not need: package managers, compilers, and files that run with another's rights. Nothing in the
# sandbox could run them anyway (execve is refused); what is not there need not be refused.
RUN set -eu; \
    if ! python3 -c 'import ctypes' 2>/dev/null; then \
        apt-get update; apt-get install -y --no-install-recommends python3; \
    fi; \
    useradd --uid 10001 --no-create-home --home-dir /work --shell /usr/sbin/nologin coderunner; \
    mkdir -p /work /opt/sandbox /opt/agent /opt/accounts; \
    mv /etc/passwd /etc/group /opt/accounts/; ln -s /opt/accounts/passwd /opt/accounts/group /etc/; \
    chown coderunner:coderunner /work; chmod 0700 /work; \
    find / -xdev -perm /6000 -type f -exec chmod a-s {} +; \
    python3 -c 'import shutil, sysconfig; [shutil.rmtree(sysconfig.get_path("purelib") + "/" + n, True) for n in ("pip", "setuptools", "wheel")]'; \
    rm -rf /usr/local/bin/pip* /usr/bin/pip* /usr/lib/python3*/ensurepip /usr/local/lib/python3*/ensurepip \
        /usr/share/python-wheels /var/lib/apt /var/cache/apt /var/log/* /root/.cache \
        /usr/bin/apt* /usr/bin/dpkg* /usr/lib/apt /usr/sbin/dpkg* /usr/bin/perl* \
        /usr/bin/gcc* /usr/bin/cc /usr/bin/ld /usr/bin/as
COPY --from=build /opt/sandbox /opt/sandbox
COPY --from=build /opt/agent /opt/agent
ENV PATH=/opt/sandbox/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    HOME=/work \
    TMPDIR=/tmp \
    MPLBACKEND=agg \
    MPLCONFIGDIR=/tmp/matplotlib \
    OPENBLAS_NUM_THREADS=1 \
    OMP_NUM_THREADS=1 \
    MKL_NUM_THREADS=1 \
    NUMEXPR_NUM_THREADS=1
LABEL org.opencontainers.image.title="code-executor sandbox" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /
# PID 1 starts as root and keeps three capabilities, to become another user for each run: see docs/architecture.md
ENTRYPOINT ["/opt/sandbox/bin/python", "-I", "-B", "/opt/agent/sandbox_agent"]
CMD ["oneshot"]
