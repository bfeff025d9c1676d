#!/bin/sh
# SPDX-License-Identifier: MIT
# reproducible.sh FOLDER [FLAG]... - builds the last commit of this tree twice in FOLDER, from
# autoreconf to the tarball and the installed files, and compares their hashes and modes. The flags are
# those of configure. The two builds differ in path, umask, locale, time zone, home, environment, number
# of jobs, and the time of the sources; in user and host name, if root runs this; by a year of the
# clock, if faketime is installed. Prints what differs, with diffoscope if it is installed. Status 0 if
# nothing does. FOLDER must be empty or absent; it keeps the builds and their logs.

[ $# -ge 1 ] || { sed -n '3,8s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1" || exit 1
folder=$(cd "$1" && pwd) || exit 1
shift
source=$(cd "$(dirname "$0")/.." && pwd) || exit 1
[ -z "$(ls "$folder")" ] || { echo "reproducible.sh: $folder is not empty" >&2; exit 2; }

# In the tree: UMASK JOBS FOLDER FLAG...
cat >"$folder/build.sh" <<'END'
set -e
umask "$1"
jobs=$2 results=$3
shift 3
id -un 2>/dev/null || id -u
hostname
date
autoreconf -fi
mkdir build
cd build
../configure --prefix=/usr "$@"
make -j"$jobs"
make -j"$jobs" install DESTDIR="$results/installed"
make dist
mkdir "$results/dist"
mv cotangent-*.tar.gz "$results/dist"
END

unpack()    # NAME TREE TIME: the commit, with this time of its files; goes there
{
    name=$1
    mkdir -p "$folder/$1/$2" && cd "$folder/$1/$2" &&
        git -C "$source" archive HEAD | tar -xf - && find . -exec touch -d "$3" {} + || exit 1
}

build()     # COMMAND...: runs it here
{
    begun=$(date +%s)
    "$@" >"$folder/$name.log" 2>&1 </dev/null || {
        tail -n 20 "$folder/$name.log"
        echo "reproducible.sh: the build $name has failed: see $folder/$name.log" >&2
        exit 1
    }
    echo "$name build: $(($(date +%s) - begun)) s"
}

sums()      # NAME: "PATH MODE HASH" of each file and link that the build has made; the tarball has no MODE
{
    cd "$folder/$1" && find installed dist ! -type d -printf '%p %m\n' | sort |
        while read -r path mode; do
            case $path in dist/*) mode=- ;; esac
            if [ -h "$path" ]; then
                echo "$path $mode $(readlink "$path")"
            else
                echo "$path $mode $(sha256sum <"$path" | sed 's/ .*//')"
            fi
        done >"$folder/$1.sums"
}

path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unpack first source '2026-01-01 00:00Z'
build env -i PATH="$path" HOME="$PWD" LC_ALL=C TZ=UTC \
    sh "$folder/build.sh" 022 1 "$folder/first" "$@"

unpack second another/folder+name '2025-06-15 12:34Z'
set -- sh "$folder/build.sh" 027 3 "$folder/second" "$@"
if command -v faketime >/dev/null; then
    set -- faketime -f +370d "$@"
fi
set -- env -i PATH="$path" HOME=/ LC_ALL=C.UTF-8 LANGUAGE=tr TZ=Pacific/Kiritimati USER=other \
    COLUMNS=40 EXTRA=variable "$@"
if [ "$(id -u)" -eq 0 ]; then
    chown -R 65534:65534 "$folder/second"
    set -- unshare --uts sh -c 'hostname another && exec setpriv --reuid=65534 --regid=65534 \
        --clear-groups "$@"' sh "$@"
fi
build "$@"

sums first
sums second
cd "$folder" || exit 1
if cmp -s first.sums second.sums; then
    echo "equal: $(wc -l <first.sums) files"
    exit 0
fi
diff first.sums second.sums | sed -n 's/^[<>] \(.*\) [^ ]* [^ ]*$/\1/p' | sort -u >differ
echo "these of $(wc -l <first.sums) files differ:"
sed 's/^/    /' differ
if command -v diffoscope >/dev/null; then
    while read -r file; do
        diffoscope --text - "first/$file" "second/$file" | head -n 60
    done <differ
fi
exit 1
