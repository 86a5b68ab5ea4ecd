#!/bin/sh
# Builds what run.py needs and is missing: libevent's headers, a Python venv with uvloop and Twisted, the libevent and
# tokio peers, the load tool of the measuring tools, and our own program. Everything goes under $MEASURE_BUILD
# (default: target/tasks of this repository), nothing into the source tree.
#   setup.sh [features of ours]      default: every feature that the programs here can use
set -eu
cd "$(dirname "$0")"
ROOT=$(cd ../.. && pwd)
MEASURE=${TIDEMILL_MEASURE:-$ROOT/../shared/measure}
B=${MEASURE_BUILD:-$ROOT/target/tasks}
mkdir -p "$B/bin"
need=
for package in libevent-dev python3-venv gcc make; do
  dpkg -s "$package" 2>/dev/null | grep -q '^Status: install ok installed' || need="$need $package"
done
if [ -n "$need" ]; then
  apt-get update -q
  # shellcheck disable=SC2086 # a list of words
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $need
fi
[ -x "$B/venv/bin/python" ] || python3 -m venv "$B/venv"
"$B/venv/bin/python" -c 'import uvloop, twisted' 2>/dev/null || "$B/venv/bin/pip" -q install uvloop twisted
for tool in load floor_echo; do
  [ -x "$B/bin/$tool" ] || make -s -C "$MEASURE/floor" OUT="$B/bin" "$B/bin/$tool"
done
"${CC:-cc}" -O2 -Wall -Wextra -o "$B/bin/libevent_peer" peers/libevent_peer.c -levent -levent_pthreads -lpthread
CARGO_TARGET_DIR="$B/target" cargo build -q --locked --release --manifest-path peers/tokio/Cargo.toml
cp "$B/target/release/tokio-peer" "$B/bin/tokio_peer"
features=${1:-$(grep -q '^async = ' "$ROOT/Cargo.toml" && echo async || true)}
built=$(cargo build --locked --release --manifest-path "$ROOT/Cargo.toml" --no-default-features --features "$features" \
  --bench tasks_ours --message-format json-render-diagnostics |
  python3 -c 'import json, sys
for line in sys.stdin:
    if line.startswith("{") and (told := json.loads(line)).get("executable"): print(told["executable"])')
[ -n "$built" ] || exit 1
cp "$built" "$B/bin/tasks_ours"
echo "ready under $B"
