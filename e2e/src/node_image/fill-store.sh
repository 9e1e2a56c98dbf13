#!/bin/bash
# Imports the image archives of the folder $1 into /var/lib/containerd. Runs inside the node's root.
set -euo pipefail
state=$(mktemp --directory)
cat > "$state/config.toml" <<TOML
version = 2
root = "/var/lib/containerd"
state = "$state/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$state/socket"
[ttrpc]
  address = "$state/socket.ttrpc"
TOML
client() { timeout 120 ctr --address "$state/socket" --namespace k8s.io "$@"; }

containerd --config "$state/config.toml" > "$state/log" 2>&1 &
daemon=$!
for attempt in $(seq 100); do
  if client version > /dev/null 2>&1; then break; fi
  if [ "$attempt" = 100 ]; then
    cat "$state/log" >&2
    exit 1
  fi
  sleep 0.1
done
for archive in "$1"/*.tar; do
  client images import --no-unpack --all-platforms "$archive" > /dev/null
done
for image in $(client images list --quiet); do
  client images label "$image" io.cri-containerd.pinned=pinned > /dev/null
done
kill "$daemon"
wait "$daemon" || true
rm -rf "$state"
