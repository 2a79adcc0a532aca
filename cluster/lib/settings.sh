# shellcheck shell=bash disable=SC2034
# Names, addresses and folders. Whatever a second node would have of its own
# carries the node's number; the rest belongs to the cluster.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cluster=$repository/cluster
kubeconfig=$repository/.cluster/kubeconfig

state=${VIRTPOD_CLUSTER_STATE:-/var/lib/virtpod-cluster}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/virtpod
egress=${CLUSTER_EGRESS:-0}

pod_range=10.244.0.0/16
service_range=10.96.0.0/16
api_service_address=10.96.0.1
dns_service_address=10.96.0.10
cluster_domain=cluster.local

node_number=1
node_name=virtpod-node-$node_number
host_address=10.213.$node_number.1
node_address=10.213.$node_number.2
# 4,093 addresses: the node remembers whose an address was for hours, and one that comes back that soon is not found.
node_pod_prefix=20
node_pod_range=10.244.$(((node_number - 1) * 16)).0/$node_pod_prefix
node_pod_gateway=10.244.$(((node_number - 1) * 16)).1
host_link=$node_name # the veth's end on the host; 15 characters at most

node_state=$state/node-$node_number
certificates=$state/certificates
logs=$node_state/logs
run=$node_state/run
config=$node_state/config
volumes=$node_state/volumes
api_server=https://$node_address:6443
containerd_socket=/run/containerd/containerd.sock
