# The image of a sandbox: an interpreter, the libraries of requirements.lock, and the agent. It listens to nothing and has
# nothing secret in it. Built by `make image`, by any docker builder (no BuildKit needed).
#
#   BASE_IMAGE   any Debian-like image with Python >= 3.11 and its venv module, or with apt to get them
#   BASE_DATE    the day of which its packages are
#   UPDATED      a day: take Debian's updates of it. Another day takes them once more
#   build-requirements.lock beside this file (optional): other libraries than those of requirements.lock
#   build-ca.crt beside this file (optional): certificates that pip trusts, for users behind a corporate proxy
#
# The default base is what a tag meant on one day, on every architecture. `make base` renews both lines.
ARG BASE_IMAGE=python:3.13-slim-bookworm@sha256:a1165e272e578941b84abc79e4ab38a0305cd12803a5c4247979ac7655f4d641
ARG BASE_DATE=2026-10-06

FROM ${BASE_IMAGE} AS system
ARG UPDATED=
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    if [ -n "$UPDATED" ]; then \
        . /etc/os-release; \
        if [ "$ID" = debian ] && ! grep -rqs -e "-security" /etc/apt/sources.list /etc/apt/sources.list.d; then \
            echo "deb http://deb.debian.org/debian-security $VERSION_CODENAME-security main" >/etc/apt/sources.list.d/security.list; \
        fi; \
        apt-get update; apt-get upgrade -y; \
    fi; \
    if ! python3 -c 'import ctypes' 2>/dev/null; then \
        apt-get update; apt-get install -y --no-install-recommends python3; \
    fi; \
    mkdir -p /usr/share/fonts; \
    { apt-get update && apt-get install -y --no-install-recommends fonts-wqy-microhei fonts-symbola; } || \
        echo "no fonts: plots draw boxes for Chinese, Japanese, Korean and emoji" >&2
# What a sandbox does not need: package managers, compilers, and files that run with another's rights. Nothing in the
# sandbox could run them anyway (execve is refused); what is not there need not be refused. And what only takes room:
# manuals, translations. The licences and the list of packages stay, for people and for scanners.
RUN set -eu; \
    useradd --uid 10001 --no-create-home --home-dir /work --shell /usr/sbin/nologin coderunner; \
    mkdir -p /work /opt/sandbox /opt/agent /opt/accounts; \
    mv /etc/passwd /etc/group /opt/accounts/; ln -s /opt/accounts/passwd /opt/accounts/group /etc/; \
    chown coderunner:coderunner /work; chmod 0700 /work; \
    find / -xdev -perm /6000 -type f -exec chmod a-s {} +; \
    python3 -c 'import shutil, sysconfig; [shutil.rmtree(sysconfig.get_path("purelib") + "/" + n, True) for n in ("pip", "setuptools", "wheel")]'; \
    find /usr/share/doc -type f ! -name copyright -delete; find /usr/share/doc -type l -delete; \
    rm -rf /usr/local/bin/pip* /usr/bin/pip* /usr/lib/python3*/ensurepip /usr/local/lib/python3*/ensurepip \
        /usr/share/python-wheels /var/lib/apt /var/cache/* /var/log/* /root/.cache \
        /usr/bin/apt* /usr/bin/dpkg* /usr/lib/apt /usr/sbin/dpkg* /usr/bin/perl* /usr/lib/*/perl* /usr/share/perl* \
        /usr/bin/gcc* /usr/bin/cc /usr/bin/ld /usr/bin/as \
        /usr/share/man /usr/share/info /usr/share/locale /usr/share/lintian /usr/share/bug; \
    python3 -m compileall -q -x '(site|dist)-packages' "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" || true

FROM ${BASE_IMAGE} AS build
COPY requirements.lock build-requirements.loc[k] build-ca.cr[t] /build/
RUN set -eu; \
    if ! python3 -c 'import venv, ensurepip, ctypes' 2>/dev/null; then \
        apt-get update; apt-get install -y --no-install-recommends python3 python3-venv; \
    fi; \
    if [ -e /build/build-requirements.lock ]; then mv /build/build-requirements.lock /build/requirements.lock; fi; \
    if [ -e /build/build-ca.crt ]; then export PIP_CERT=/build/build-ca.crt; fi; \
    python3 -m venv --without-pip /opt/sandbox; \
    python3 -m venv /build/tools; \
    /build/tools/bin/pip --python /opt/sandbox/bin/python install --no-cache-dir --no-compile \
        --only-binary :all: --require-hashes -r /build/requirements.lock; \
    find /opt/sandbox \( -name tests -type d -o -name '*.c' -type f \) -prune -exec rm -rf {} +; \
    /opt/sandbox/bin/python -m compileall -q /opt/sandbox/lib || true
# The list of all fonts, which matplotlib would make anew in every program
COPY --from=system /usr/share/fonts /usr/share/fonts
RUN set -eu; \
    if [ -d /opt/sandbox/lib/python3*/site-packages/matplotlib ]; then \
        MPLCONFIGDIR=/opt/sandbox/share/matplotlib /opt/sandbox/bin/python -c 'import matplotlib.font_manager'; \
    fi
COPY src/sandbox_agent /opt/agent/sandbox_agent
RUN set -eu; \
    find /opt/agent -name __pycache__ -prune -exec rm -rf {} +; \
    chmod -R go=u,go-w /opt/agent; \
    /opt/sandbox/bin/python -m compileall -q /opt/agent

# Of nothing, so that what was removed above is not in a layer below
FROM scratch
COPY --from=system / /
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
ARG BASE_IMAGE
ARG BASE_DATE
ARG UPDATED=
LABEL org.opencontainers.image.title="code-executor sandbox" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      code-executor.packages="${UPDATED:-$BASE_DATE}"
WORKDIR /
# PID 1 starts as root and keeps three capabilities, to become another user for each run: see docs/architecture.md
ENTRYPOINT ["/opt/sandbox/bin/python", "-c", "import sys; sys.path[0] = '/opt/agent'; import sandbox_agent.__main__ as agent; sys.exit(agent.main())"]
CMD ["oneshot"]
