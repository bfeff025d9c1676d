#!/bin/sh
# SPDX-License-Identifier: MIT
# deb.sh TARBALL FOLDER [SUITE] - builds the Debian packages in a clean chroot into FOLDER, runs
# lintian on them, installs them and runs their tests. Needs root and debootstrap. DEBFULLNAME and
# DEBEMAIL name the maintainer of the packages.
# CHROOT: a folder for the chroot, which is kept; else it is made new and removed. MIRROR: where
# debootstrap finds packages; else where it looks by itself. DRY_RUN: if it is set, only the arguments
# are checked.

set -e
[ $# -ge 2 ] || { sed -n '3,8s/^# //p' "$0"; exit 2; }
[ -n "$DEBFULLNAME" ] && [ -n "$DEBEMAIL" ] || {
    echo "deb.sh: DEBFULLNAME and DEBEMAIL must name the maintainer" >&2
    exit 2
}
[ -f "$1" ] || { echo "deb.sh: there is no tarball $1" >&2; exit 2; }
[ -z "$DRY_RUN" ] || { echo "dry run: deb.sh accepts the arguments"; exit 0; }
[ "$(id -u)" -eq 0 ] || { echo "deb.sh: debootstrap and chroot need root" >&2; exit 1; }

# Mounts and processes end with this script.
if [ -z "$DEB_INSIDE" ]; then
    DEB_INSIDE=yes exec unshare --mount --pid --fork --mount-proc sh "$0" "$@"
fi

tarball=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
suite=${3-bookworm}
here=$(realpath "$(dirname "$0")")
version=$(basename "$tarball" .tar.gz)
version=${version#cotangent-}
if [ -n "$CHROOT" ]; then
    root=$CHROOT
else
    root=$(mktemp -d /var/tmp/cotangent-deb.XXXXXX)
    trap 'umount -R "$root/dev" "$root/proc" 2>/dev/null; rm -rf --one-file-system "$root"' EXIT
fi
[ -d "$root/etc" ] || debootstrap --variant=minbase "$suite" "$root" $MIRROR
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

inside()    # COMMAND of the shell, in the chroot, in the folder with the sources
{
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive DEB_BUILD_OPTIONS="$DEB_BUILD_OPTIONS" sh -ec "$1"
}

rm -rf "$root/build"
mkdir "$root/build"
cp "$tarball" "$root/build/cotangent_$version.orig.tar.gz"
tar -C "$root/build" -xzf "$tarball"
cp -r "$here/debian" "$root/build/cotangent-$version/debian"
sed -i "s/@MAINTAINER@/$DEBFULLNAME <$DEBEMAIL>/" "$root/build/cotangent-$version/debian/control" \
    "$root/build/cotangent-$version/debian/changelog"
inside 'apt-get -q update'
inside 'apt-get -q -y install --no-install-recommends build-essential lintian autopkgtest'
inside "cd /build/cotangent-$version && apt-get -q -y build-dep --no-install-recommends ."
inside "useradd -m builder 2>/dev/null || :; chown -R builder /build"
inside "cd /build/cotangent-$version &&
    su builder -c 'DEB_BUILD_OPTIONS=\"$DEB_BUILD_OPTIONS\" dpkg-buildpackage -us -uc'"
echo "==> lintian"
inside "cd /build && su builder -c 'lintian --fail-on error,warning --no-cfg cotangent_*.changes'"
echo "==> autopkgtest"
inside "cd /build && autopkgtest --apt-upgrade cotangent_*.changes -- null"
find "$root/build" -maxdepth 1 -type f -exec cp {} "$out/" \;
ls -l "$out"
