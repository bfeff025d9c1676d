# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034,SC2154 # variables are for the tests that read this
# mpi_lib.sh - functions for the tests that run several processes of mpirun. Read it after lib.sh. The
# test is skipped if there is no mpirun; otherwise $mpis lists those that there are.

make_tmp
plugins=$build/train/mpi/.libs
COTANGENT_NUM_THREADS=1
OMPI_ALLOW_RUN_AS_ROOT=1
OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
OMPI_MCA_rmaps_base_oversubscribe=1
OMPI_MCA_hwloc_base_binding_policy=none
OMPI_MCA_btl_vader_single_copy_mechanism=none   # not allowed in many containers
PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe    # Open MPI 5
UCX_LOG_FILE=stderr     # MPICH's UCX writes its messages to stdout otherwise
export COTANGENT_NUM_THREADS OMPI_ALLOW_RUN_AS_ROOT \
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM OMPI_MCA_rmaps_base_oversubscribe \
    OMPI_MCA_hwloc_base_binding_policy OMPI_MCA_btl_vader_single_copy_mechanism UCX_LOG_FILE \
    PRTE_MCA_rmaps_default_mapping_policy
unset COTANGENT_PLUGIN_DIR COTANGENT_SHARDS COTANGENT_MPI COTANGENT_WORLD_TIMEOUT \
    COTANGENT_NCCL

# With sanitizers there are fewer runs.
shard_numbers='4 6 8' rank_numbers='1 2 3 4' sanitized=false
case "$CFLAGS" in
*-fsanitize=*)
    shard_numbers=4 rank_numbers='1 2' sanitized=true
    LSAN_OPTIONS=suppressions=$srcdir/tests/mpi.supp:print_suppressions=0
    ASAN_OPTIONS=fast_unwind_on_malloc=0
    export LSAN_OPTIONS ASAN_OPTIONS
    ;;
esac

# The MPIs that are there: mpirun and plug-in.
mpis=
for mpi in openmpi mpich; do
    if ! command -v mpirun.$mpi >/dev/null 2>&1; then
        say "no mpirun.$mpi"
    elif [ ! -e "$plugins/world-$mpi.so" ]; then
        say "no plug-in for $mpi was built"
    elif ! timeout 60 mpirun.$mpi -np 2 true >"$tmp/out" 2>&1 </dev/null; then
        say "mpirun.$mpi starts no processes here: $(head -n 3 "$tmp/out")"
    else
        mpis="$mpis $mpi"
    fi
done
[ -n "$mpis" ] || skip "there is no mpirun that works with a plug-in (Debian: openmpi-bin libopenmpi-dev, or mpich libmpich-dev)"

ranks()         # NUMBER COMMAND...: runs it by so many ranks of $mpi; sets $status
{
    number=$1
    shift
    timeout 100 "mpirun.$mpi" -np "$number" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    status=$?
}

refused()       # PATTERN WHAT NUMBER COMMAND...: as ranks; it fails, and each rank prints a line with the pattern
{
    pattern=$1 what=$2
    shift 2
    ranks "$@"
    [ $status -ne 0 ] || fail "$what: status 0"
    says "$pattern" "$number" "$what"
}

same()          # FILE FILE WHAT
{
    cmp -s "$1" "$2" || fail "$3: $1 and $2 differ"
}

says()          # PATTERN TIMES WHAT: stderr has it in so many lines, or more
{
    [ "$(grep -Ec -- "$1" "$tmp/err")" -ge "$2" ] || fail "$3: not $2 lines with '$1'"
}
