#!/bin/sh
# SPDX-License-Identifier: MIT
# two_hosts.sh - the ranks of tests/ranks on two hosts, which are two network namespaces of this machine with
# names of their own: the digests are those of one process. Not in `make check`: needs root, ip and unshare.
#
#     cd build && make all tests/ranks && sh ../tests/two_hosts.sh

. "$(dirname "$0")/lib.sh"

make_tmp
a=ct$$a b=ct$$b
[ "$(id -u)" -eq 0 ] || skip "needs root"
for tool in ip unshare hostname mpirun.openmpi; do
    command -v $tool >/dev/null 2>&1 || skip "there is no $tool"
done
trap 'ip netns del $a 2>/dev/null; ip netns del $b 2>/dev/null; rm -rf "$tmp"' EXIT

ip netns add $a && ip netns add $b || skip "no network namespaces may be made"
ip link add ct0 netns $a type veth peer name ct0 netns $b || skip "no veth"
for end in "$a 10.77.0.1" "$b 10.77.0.2"; do
    # shellcheck disable=SC2086
    set -- $end
    ip -n "$1" addr add "$2/24" dev ct0
    ip -n "$1" link set ct0 up
    ip -n "$1" link set lo up
done

# What mpirun calls instead of ssh: AGENT HOST COMMAND...
cat >"$tmp/agent" <<END
#!/bin/sh
shift
exec ip netns exec $b unshare -u sh -c 'hostname hostb; eval "\$*"' sh "\$@"
END
chmod +x "$tmp/agent"

"$build/tests/ranks" 4 >"$tmp/alone" || fail "alone"
for number in 2 4; do
    COTANGENT_PLUGIN_DIR=$build/train/mpi/.libs COTANGENT_NUM_THREADS=1 \
        timeout 100 ip netns exec $a unshare -u sh -c 'hostname hosta; exec "$@"' sh \
        mpirun.openmpi --allow-run-as-root --oversubscribe --mca plm_rsh_agent "$tmp/agent" \
        --mca btl tcp,self --mca btl_tcp_if_include ct0 --mca oob_tcp_if_include ct0 \
        -x COTANGENT_PLUGIN_DIR -x COTANGENT_NUM_THREADS -np $number \
        --host 10.77.0.1:$((number / 2)),10.77.0.2:$((number / 2)) \
        "$build/tests/ranks" 4 >"$tmp/out" 2>"$tmp/err" </dev/null || fail "$number ranks"
    cmp "$tmp/alone" "$tmp/out" || fail "$number ranks: other digests"
    say "$number ranks on two hosts: the same digests"
done
