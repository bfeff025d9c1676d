#!/bin/sh
# SPDX-License-Identifier: MIT
# commands.sh [PAGE.md...] - every command in the pages runs without an error, in an empty folder with a
# short text. Training is shortened: a small model, few tokens, two epochs. For each other
# command the page gives the reason, or names the test that runs it shortened (tests/commands.awk).

. "$(dirname "$0")/lib.sh"
top=$(pwd)
make_tmp
offline

cd "$srcdir" || exit 99
[ $# -gt 0 ] || set -- README.md SECURITY.md CHANGELOG.md CONTRIBUTING.md docs/*.md bench/*.md packaging/*.md

mkdir "$tmp/bin" || exit 99
cat >"$tmp/bin/cotangent" <<END
#!/bin/sh
[ "\$1" != train ] || set -- "\$@" --hidden 8 --max-tokens 9000 --epochs 2
exec "$top/tool/cotangent" "\$@"
END
chmod +x "$tmp/bin/cotangent"
PATH=$tmp/bin:$PATH
export PATH
letters='--clean letters'
! cotangent info | grep -q '^libutf8proc: none' || letters='--clean text'

for page; do
    [ -f "$page" ] || continue
    $AWK -f tests/commands.awk "$page" >"$tmp/list" || fail "$page"
    [ -s "$tmp/list" ] || continue
    rm -rf "$tmp/run" && mkdir "$tmp/run" && ln -s "$top/examples" "$tmp/run/examples" || exit 99
    cp examples/export/generate.c "$tmp/run" || exit 99
    for text in book text other timemachine; do
        cp data/sample.txt "$tmp/run/$text.txt" || exit 99
    done
    while read -r line kind command; do
        case $kind in
        bad) fail "$page:$line: $command" ;;
        not) echo "$page:$line: not run: $command" >>"$tmp/not" ;;
        test)
            file=${command%% *} program=${command#* examples/}
            grep -qE "(runs|examples/|run_) *${program%% *}( |\$)" "$file" ||
                fail "$page:$line: $file does not run ${program%% *}"
            echo "$page:$line" >>"$tmp/tested"
            ;;
        run)
            command=$(echo "$command" | sed "s/^time //; s/--clean letters/$letters/")
            (cd "$tmp/run" && eval "$command") >"$tmp/out" 2>"$tmp/err" </dev/null ||
                fail "$page:$line: status $? of: $command"
            echo "$page:$line" >>"$tmp/ran"
            ;;
        esac
    done <"$tmp/list"
done
touch "$tmp/not" "$tmp/tested" "$tmp/ran"
cat "$tmp/not"
say "$(wc -l <"$tmp/ran") commands ran, $(wc -l <"$tmp/tested") run in other tests," \
    "$(wc -l <"$tmp/not") do not run, for the reasons in the pages"
