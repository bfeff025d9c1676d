#!/bin/sh
# SPDX-License-Identifier: MIT
# protocols.sh - both protocols at full length, three seeds each: `make protocols` (some
# minutes; not part of make check). Prints the perplexities, the texts, the number of words of the
# book in the trained texts, and the medians. Fails unless these are in the chapter's bands and 2
# words or more, and the trained texts differ from the untrained.

. "$(dirname "$0")/lib.sh"

program=$(pwd)/examples/rnn_concise
book=$COTANGENT_DATA_DIR/timemachine.txt
make_tmp
good=yes

[ -f "$book" ] || {
    say "needs COTANGENT_DATA_DIR/timemachine.txt" >&2
    exit 1
}
tr -cs 'A-Za-z' '\n' <"$book" | tr 'A-Z' 'a-z' | sort -u >"$tmp/words"

bad()       # MESSAGE
{
    echo "    not good: $1"
    good=no
}

# Counts the words of the book of three letters or more in the lines "trained: PREFIX...". The
# prefix and the letters joined to it do not count.
whole_words()
{
    sed -n "s/^trained: \(it has\|time traveller\|traveller\)[^ ]*//p" "$tmp/out" | tr ' ' '\n' |
        grep '...' | grep -Fx -f "$tmp/words"
}

median() { sort -n "$1" | sed -n 2p; }

in_band()   # WHAT MEDIAN LOW HIGH
{
    if awk "BEGIN { exit !($2 >= $3 && $2 <= $4) }"; then
        echo "    median $1 $2, in $3 to $4"
    else
        bad "median $1 $2, not in $3 to $4"
    fi
}

protocol()  # NAME EPOCHS PREFIX
{
    echo "$1, $2 epochs"
    for seed in 0 1 2; do
        "$program" --protocol "$1" --seed $seed >"$tmp/out" || exit 1
        last=$(grep '^epoch' "$tmp/out" | tail -n 1)
        train=$(echo "$last" | sed 's/.*perplexity *//; s/ .*//')
        val=$(echo "$last" | sed -n 's/.*validation *//; s/ .*//; /^[0-9.]*$/p')
        echo "$train" >>"$tmp/$1.train"
        whole_words | wc -l >>"$tmp/$1.words"
        [ -z "$val" ] || echo "$val" >>"$tmp/$1.val"
        rate=$(sed -n 's/^perplexity [0-9.]*, \([0-9]*\).*/\1/p' "$tmp/out")
        before=$(grep "^untrained: $3" "$tmp/out")
        after=$(grep "^trained: $3" "$tmp/out")
        words=$(tail -n 1 "$tmp/$1.words")
        echo "    seed $seed: perplexity $train${val:+, validation $val}, $rate tokens/s," \
            "$words words of the book"
        echo "        ${before#*: }"
        sed -n 's/^trained: /     -> /p' "$tmp/out"
        case $last in "epoch $2/$2 "*) ;; *) bad "the last line is '$last'" ;; esac
        case ${after#*: } in "${before#*: }"*) bad "the trained text is the untrained one" ;; esac
    done
}

began=$(date +%s)
protocol book 100 'it has'
in_band 'training perplexity' "$(median "$tmp/book.train")" 5.6 6.2
in_band 'validation perplexity' "$(median "$tmp/book.val")" 7.0 7.6
in_band words "$(median "$tmp/book.words")" 2 100
protocol classic 500 'time traveller'
in_band 'training perplexity' "$(median "$tmp/classic.train")" 1.20 1.35
in_band words "$(median "$tmp/classic.words")" 2 100
echo "$(($(date +%s) - began)) s"
[ $good = yes ]
