#!/bin/sh
# SPDX-License-Identifier: MIT
# chroots.sh [SUITE]... [WAY]... - runs ./quickstart of this tree in clean chroots of Debian:
#     bare      as a user without root and without the packages: it must say what to install
#     root      as root, which installs the packages
#     user      as a user without root, with the packages
#     space     the same in a folder with spaces in its path
#     offline   the same without network
#     check     ./quickstart check as that user
# SUITE is bookworm (12) or trixie (13). All suites and all ways by default. Needs root,
# debootstrap, overlayfs and unshare. The tree is copied without what git ignores.
#
# CHROOTS: the folder that keeps the chroots and the logs [/var/tmp/cotangent-chroots]. A way
# runs on an overlay of a chroot, which is removed afterwards. MIRROR: where debootstrap finds
# packages; else where it looks by itself. CCACHE_DIR: a cache of ccache, to build faster. DRY_RUN: if it
# is set, only the arguments are checked.

set -e
suites=
ways=
for word; do
    case $word in
    bookworm | trixie) suites="$suites $word" ;;
    bare | root | user | space | offline | check) ways="$ways $word" ;;
    *) sed -n '3,16s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
[ -z "$DRY_RUN" ] || { echo "dry run: chroots.sh accepts the arguments"; exit 0; }
[ "$(id -u)" -eq 0 ] || { echo "chroots.sh: debootstrap and chroot need root" >&2; exit 1; }

# Mounts and processes end with this script.
if [ -z "$CHROOTS_INSIDE" ]; then
    CHROOTS_INSIDE=yes exec unshare --mount --pid --fork --mount-proc sh "$0" "$@"
fi

source=$(realpath "$(dirname "$0")/..")
chroots=${CHROOTS-/var/tmp/cotangent-chroots}
: "${suites:=bookworm trixie}" "${ways:=bare root user space offline check}"
mkdir -p "$chroots/logs"

# lay NAME LOWER...: a writable overlay of the folders, the first on top, in $root
lay()
{
    layer=$chroots/$suite/$1
    shift
    root=$layer/root
    mkdir -p "$layer/upper" "$layer/work" "$root"
    mount -t overlay overlay \
        -o "lowerdir=$(IFS=:; echo "$*"),upperdir=$layer/upper,workdir=$layer/work" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t sysfs -o ro sysfs "$root/sys"
    mkdir -p "$chroots/$suite/archives" "$root/var/cache/apt/archives"
    mount --bind "$chroots/$suite/archives" "$root/var/cache/apt/archives"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    if [ -n "$CCACHE_DIR" ]; then
        mkdir -p -m 777 "$CCACHE_DIR" "$root/ccache"
        mount --bind "$CCACHE_DIR" "$root/ccache"
    fi
}

# Nothing may be removed below $root as long as /dev is mounted there.
unlay()
{
    umount -R "$root" || exit 1
}

# inside USER COMMAND: of the shell, in the chroot
inside()
{
    user=$1
    home=/root
    [ "$user" = root ] || home=/home/$user
    path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    [ -z "$CCACHE_DIR" ] || path=/usr/lib/ccache:$path
    # shellcheck disable=SC2086
    $net chroot --userspec="$user" "$root" env -i PATH="$path" HOME="$home" LC_ALL=C.UTF-8 \
        ${CCACHE_DIR:+CCACHE_DIR=/ccache CCACHE_UMASK=000 CCACHE_NOHASHDIR=1 CCACHE_BASEDIR="$folder"} \
        sh -ec "$2" </dev/null
}

# The chroot of the suite, and on top of it the packages that ./quickstart asks for.
prepare()
{
    base=$chroots/$suite/base
    packages=$chroots/$suite/packages
    if [ ! -f "$base.done" ]; then
        rm -rf --one-file-system "$base"
        # shellcheck disable=SC2086
        debootstrap --variant=minbase "$suite" "$base" $MIRROR >"$chroots/logs/$suite-debootstrap.log"
        chroot "$base" useradd -m -s /bin/sh user
        touch "$base.done"
    fi
    list="$("$source/quickstart" packages)${CCACHE_DIR:+ ccache}"
    if [ "$(cat "$packages.done" 2>/dev/null)" != "$list" ]; then
        rm -rf --one-file-system "$packages"
        net='' folder=/
        lay packages "$base"
        inside root "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install \
            --no-install-recommends $(echo $list)" >"$chroots/logs/$suite-packages.log" 2>&1
        unlay
        echo "$list" >"$packages.done"
    fi
}

# copy USER FOLDER: the tree into the chroot, with a commit's files and those that are new
copy()
{
    mkdir -p "$root$2"
    if [ -e "$source/.git" ]; then
        git -C "$source" ls-files -z -c -o --exclude-standard
    else
        (cd "$source" && find . -type f -print0)
    fi | (cd "$source" && tar --null -T - -cf - --ignore-failed-read 2>/dev/null) |
        tar -C "$root$2" -xf -
    chown -R --reference="$root$(chroot "$root" sh -c "echo ~$1")" "$root$2"
}

# run_way: runs $way in $suite; its output goes to $log and its status is returned
run_way()
{
    user=user folder=/home/user/cotangent command=./quickstart net=
    lower="$packages/upper $base"
    case $way in
    bare) lower=$base ;;
    root) lower=$base user=root folder=/root/cotangent ;;
    space) folder='/home/user/a folder with spaces/cotangent 1' ;;
    offline) net='unshare --net' ;;
    check) command='COTANGENT_CONFIGURE_FLAGS=--enable-werror ./quickstart check' ;;
    esac
    rm -rf --one-file-system "${chroots:?}/$suite/$way"
    # shellcheck disable=SC2086
    lay "$way" $lower
    copy $user "$folder"
    status=0
    inside $user "cd '$folder' && $command" >"$log" 2>&1 || status=$?
    unlay
    rm -rf --one-file-system "${chroots:?}/$suite/$way"
    return $status
}

# right STATUS: whether the status and the log are those that $way must have
right()
{
    case $way in
    bare) [ "$1" -ne 0 ] && grep -q '^    apt-get install .*autoconf' "$log" ;;
    root) [ "$1" -eq 0 ] && grep -q '^==> install packages  *[0-9]* s$' "$log" &&
        grep -q '^==> trained in' "$log" ;;
    check) [ "$1" -eq 0 ] && tail -n 1 "$log" | grep -q '^[0-9]* passed, 0 failed' ;;
    *) [ "$1" -eq 0 ] && grep -q '^==> trained in' "$log" ;;
    esac
}

failures=0
for suite in $suites; do
    prepare
    for way in $ways; do
        log=$chroots/logs/$suite-$way.log
        begun=$(date +%s)
        status=0
        run_way || status=$?
        if right $status; then
            result=passed
        else
            result="FAILED (status $status; $log)"
            failures=$((failures + 1))
            tail -n 20 "$log" | sed 's/^/    /'
        fi
        printf '%-9s %-8s %4d s  %s; last line: %s\n' "$suite" "$way" $(($(date +%s) - begun)) \
            "$result" "$(tail -n 1 "$log")"
    done
done
[ $failures -eq 0 ]
