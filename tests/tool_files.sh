#!/bin/sh
# SPDX-License-Identifier: MIT
# tool_files.sh - the files of the tool and the examples: no input is overwritten, outputs
# are tested before training, closed descriptors and full disks are noticed, and neither names from
# files nor the locale change the output on a terminal.

. "$(dirname "$0")/lib.sh"

tool=$build/tool/cotangent
program=$tool
make_tmp
cd "$tmp" || exit 99

quick='--model rnn --hidden 4 --batch 2 --steps 4 --epochs 1 --max-tokens 200'

refused()   # STATUS PATTERN ARGUMENTS...: of $program; one line on stderr, nothing on stdout
{
    want=$1 pattern=$2
    shift 2
    run "$@"
    [ $status -eq "$want" ] || fail "'$*': status $status, not $want"
    [ "$(wc -l <err)" -eq 1 ] && [ ! -s out ] || fail "'$*': not one line, on stderr"
    grep -Eq -- "^[a-z_]+: $pattern" err || fail "'$*': stderr has no '$pattern'"
}

# ---- one file, two uses --------------------------------------------------------------------

# Several names of a file that exists, and of one that does not.
mkdir folder other
cp "$srcdir/data/sample.txt" folder/text
cp folder/text whole
ln -s folder through
ln -s folder/text link
ln -s link again
ln folder/text hard
ln -s folder/new dangling
ln -s ../folder/new other/dangling
texts="folder/text ./folder/text folder/../folder/text through/text $tmp/folder/text link again hard"
new="folder/new ./folder//new other/../folder/new through/new $tmp/folder/new dangling other/dangling"
outputs='output checkpoint best csv svg'

unharmed()  # WHAT
{
    cmp -s folder/text whole || fail "$1: the text was changed"
    [ ! -e folder/new ] || fail "$1: a file was written"
    [ "$(ls folder | wc -l)" -eq 1 ] || fail "$1: a file is left"
}

: >out && : >err
for option in $outputs; do
    for name in $texts; do
        # shellcheck disable=SC2086
        refused 2 "--$option and the text are the same file \($name\)" \
            train $quick folder/text --$option $name
        # shellcheck disable=SC2086
        refused 2 "--$option and --validate are the same file" \
            train $quick whole --validate $name --$option link
        unharmed "--$option $name"
    done
    for name in $new; do
        for second in $outputs; do
            [ $second != $option ] || continue
            # shellcheck disable=SC2086
            refused 2 '--[a-z]+ and --[a-z]+ are the same file' \
                train $quick whole --$option folder/new --$second $name
            grep -q -- "--$option" err && grep -q -- "--$second" err || fail "another pair"
        done
        unharmed "--$option $name"
    done
done

# The file in TensorBoard's folder.
events=events.out.tfevents.cotangent
cp whole other/$events
refused 2 '--tensorboard and the text are the same file' \
    train other/$events --tensorboard other
refused 2 '--tensorboard and --validate are' train whole --validate other/$events --tensorboard ./other
refused 2 '--csv and --tensorboard are' train whole --csv folder/$events --tensorboard through
refused 2 '--output and --tensorboard are' train whole -o other/$events --tensorboard other
cmp -s other/$events whole || fail "the text in TensorBoard's folder was changed"
rm other/$events
unharmed "--tensorboard"

# stdin, stdout and stderr.
"$tool" train - -o through/text <folder/text >out 2>err
[ $? -eq 2 ] && grep -q -- '--output and the text are the same file' err || fail "stdin"
cp whole model
for command in 'train model -o x' 'train whole --validate model -o x' 'info model' \
    'generate model -p x' 'eval model whole' 'eval whole model'; do
    # shellcheck disable=SC2086
    "$tool" $command >>model 2>err
    [ $? -eq 2 ] && grep -q 'stdout and .* are the same file' err || fail "$command >>model"
    # shellcheck disable=SC2086
    "$tool" $command >out 2>>model
    [ $? -eq 2 ] || fail "$command 2>>model: status $?"
    head -c "$(wc -c <whole)" model | cmp -s - whole || fail "$command: the model was changed"
    cp whole model
done
"$tool" train whole --csv log >log 2>err
[ $? -eq 2 ] && grep -q -- '--csv and stdout are the same file' err || fail "--csv and stdout"
rm -f log model
unharmed "stdout"

# The examples.
unset COTANGENT_DATA_DIR
for name in $texts; do
    program=$build/examples/compress
    refused 2 'the output file and the input file are the same file' folder/text $name
    refused 2 'the output file and the input file are the same file' -d folder/text $name
    refused 2 '--model and the input file are the same file' --train -m $name folder/text
    refused 2 'the output file and --model are' -m folder/text whole $name
    program=$build/examples/rnn_concise
    for option in checkpoint csv svg; do
        refused 2 "--$option and --data are the same file" --data folder/text --$option $name
    done
    unharmed "examples: $name"
done
mkdir books     # the book, which they find by themselves
ln -s ../folder/text books/timemachine.txt
COTANGENT_DATA_DIR=books
export COTANGENT_DATA_DIR
for option in checkpoint csv svg; do
    refused 2 "--$option and the book are the same file" --$option hard
done
unset COTANGENT_DATA_DIR
unharmed "the book"
program=$tool

# Not the same file: the same name in another folder, a copy. Two inputs may be the same file.
# shellcheck disable=SC2086
run train folder/text --validate hard $quick -o other/text --csv text --checkpoint new \
    --tensorboard other
[ $status -eq 0 ] || fail "other files are refused"
# shellcheck disable=SC2086
run train folder/text $quick -o dangling
[ $status -eq 0 ] && [ -L dangling ] && [ -s folder/new ] || fail "a dangling link is not followed"
cp folder/new model
rm folder/new

# ---- before training -----------------------------------------------------------------------

# These would train for days.
mkfifo fifo
long='--epochs 1000000'
for option in $outputs; do
    for bad in 'missing/x:No such file' 'folder:is not a regular file' 'whole/x:Not a directory' \
        'fifo:is not a regular file' '/dev/null:is not a regular file'; do
        # shellcheck disable=SC2086
        refused 1 "${bad%:*}: ${bad#*:}" train whole $long --$option ${bad%:*}
    done
    (
        trap '' XFSZ    # a write fails, as on a full disk
        ulimit -f 0
        # shellcheck disable=SC2086
        "$tool" train whole $long --$option large >/dev/null 2>&1 </dev/null
    )
    [ $? -eq 1 ] && [ ! -e large ] || fail "--$option without space"
    if [ "$(id -u)" -ne 0 ]; then
        mkdir closed && chmod 555 closed
        # shellcheck disable=SC2086
        refused 1 'closed/x: Permission denied' train whole $long --$option closed/x
        rmdir closed
    fi
done
program=$build/examples/rnn_concise
refused 1 'missing/x: No such file' --data whole $long --csv missing/x
program=$build/examples/compress
refused 1 'missing/x: No such file' whole missing/x
program=$tool
[ "$(ls | grep -c tmp)" -eq 0 ] || fail "a temporary file is left"

# ---- closed descriptors --------------------------------------------------------------------

# shellcheck disable=SC2086
"$tool" train whole $quick -o usual -q >out 2>err || fail "train -q"
# shellcheck disable=SC2086
"$tool" train whole $quick -o m -q <&- >&- 2>&- || fail "train -q without descriptors: status $?"
cmp -s m usual || fail "without descriptors another model is written"
# shellcheck disable=SC2086
"$tool" train whole $quick -o m <&- >&- 2>&-
[ $? -eq 1 ] || fail "train cannot print, and does not fail"
cmp -s m usual || fail "what train prints is in the model"
# shellcheck disable=SC2086
"$tool" train whole $quick -o m --checkpoint c --csv t --lr 1e300 --optimizer sgd -q <&- >&- 2>&-
cmp -s m usual || fail "what train says is in the model"
"$build/examples/compress" -H 4 -p 1 m z >out 2>err || fail "compress: status $?"
"$build/examples/compress" -H 4 -p 1 m y <&- >&- 2>&-
cmp -s y z || fail "what compress prints is in its file"
for closed in '<&-' '>&-' '2>&-' '<&- >&-' '<&- >&- 2>&-'; do
    for command in 'info' 'info m' 'eval m whole' 'generate m -p the -n 3' 'generate m -n 3' \
        'eval m -' 'train - -q -o n' '--help' '--version' 'train --help' 'nothing' 'info missing'; do
        eval "\"$tool\" $command $closed" >/dev/null </dev/null 2>&1
        cmp -s m usual || fail "$command $closed: the model was changed"
    done
done

# While the tool waits for its prefix, stdout and stderr are open, so no other file gets their
# numbers.
if [ -r /proc/self/fd/0 ]; then
    for waiting in "$tool generate m" "$build/examples/compress fifo y"; do
        # shellcheck disable=SC2086
        (exec $waiting <fifo >&- 2>&-) &
        exec 3>fifo
        for i in $(seq 100); do
            [ "$(readlink /proc/$!/fd/1)" != /dev/null ] ||
                [ "$(readlink /proc/$!/fd/2)" != /dev/null ] || break
            sleep 0.1
        done
        [ "$i" -lt 100 ] || fail "$waiting: stdout and stderr are not opened"
        kill $!
        wait $! 2>/dev/null
        exec 3>&-
    done
fi

# ---- stdout that takes nothing ------------------------------------------------------------

fails_on()  # WHERE REASON COMMAND...: with stdout on WHERE
{
    where=$1 reason=$2
    shift 2
    eval "\"$tool\" \"\$@\" $where" 2>err </dev/null
    [ $? -eq 1 ] || fail "'$*' $where: status $?"
    [ "$(cat err)" = "cotangent: stdout: $reason" ] || fail "'$*' $where: stderr is $(cat err)"
}

for full in '>/dev/full No space left on device' '>&- Bad file descriptor'; do
    [ -c /dev/full ] || continue
    for command in '--help' '--version' 'train --help' 'info --help' 'info' 'info m' \
        'eval m whole' 'generate m -p the -n 3' "train whole $quick -o n"; do
        # shellcheck disable=SC2086
        fails_on "${full%% *}" "${full#* }" $command
    done
done
cmp -s n usual || fail "the model is not written when stdout is full"

# A closed pipe ends the tool by SIGPIPE or, if SIGPIPE is ignored, with a message.
for command in info 'info m' 'eval m whole' 'generate m -p the -n 200000' \
    "train whole $quick -o n"; do
    # shellcheck disable=SC2086
    { "$tool" $command 2>err; echo $? >status; } | :
    read -r status <status
    case $status in
    0 | 1 | 141) ;;
    *) fail "$command | true: status $status" ;;
    esac
done
(
    trap '' PIPE
    { sleep 0.3; "$tool" generate m -p the -n 200000 2>err; echo $? >status; } | :
)
read -r status <status
[ "$status" -eq 1 ] && grep -q 'stdout: Broken pipe' err || fail "generate, EPIPE: status $status"

# ---- control characters --------------------------------------------------------------------

clean()     # FILE WHERE: it has no control character but the end of a line
{
    LC_ALL=C tr -d '\n' <"$1" | LC_ALL=C grep -q "[$(printf '\001-\037\177')]" &&
        fail "$2: a control character is printed"
    LC_ALL=C grep -q "$(printf '\302[\200-\237]')" "$1" && fail "$2: a C1 character is printed"
    return 0
}

bad=$(printf 'x\033[31m\302\233y\177\233')
cp whole "$bad"
# shellcheck disable=SC2086
run train "$bad" $quick --validate "$bad" -o "$bad.model" --csv "$bad.csv"
[ $status -eq 0 ] || fail "a name with control characters: status $status"
grep -q 'x?\[31m?y??' out || fail "the name is not shown"
clean out "train"
run info "$bad.model"
grep -q '  text: x?\[31m?y??' out || fail "the name in the card is not shown"
clean out "info"
for command in train info "generate -p x" 'eval m'; do
    # shellcheck disable=SC2086
    refused 1 'x\?\[31m\?y\?\?.missing: No such file' $command "$bad.missing"
    clean err "$command"
done
refused 2 'there is no command "x\?\[31m' "$bad"
refused 2 '--model: "x\?\[31m' train whole --model "$bad"
refused 2 'unexpected argument "x\?\[31m' train whole "$bad"
header='{"a\u001b[31m\u009b\u007fb":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"__metadata__":{"x":"\u009b"}}'
{
    printf "\\$(printf '%03o' ${#header})\\0\\0\\0\\0\\0\\0\\0%s\\0\\0\\0\\0" "$header"
} >named
run info named
[ $status -eq 0 ] && grep -q '^a?\[31m??b  F32 \[\]' out || fail "a tensor's name"
clean out "info"

# A model whose tokens are control characters: a terminal gets only the ends of lines, a file gets all.
for i in $(seq 40); do
    printf 'a\033[\302\233b\302\251\r\n\177\360\237\230\200\t'
done >controls
for tokens in char byte; do
    # shellcheck disable=SC2086
    run train controls $quick --tokens $tokens -o controls.model -q
    [ $status -eq 0 ] || fail "training on control characters"
    command="generate controls.model -p a -n 400 -t 9"
    # shellcheck disable=SC2086
    run $command
    grep -q "$(printf '\033')" out || fail "generate: a file does not get the text as it is"
    if script -qec "'$tool' $command" /dev/null >out 2>err </dev/null && [ -s out ]; then
        tr -d '\r\t' <out >shown
        clean shown "generate on a terminal, $tokens"
        grep -q 'a' shown && grep -q '?' shown || fail "generate on a terminal"
        [ $tokens != char ] || grep -q "$(printf '\302\251')" shown || fail "no character of two bytes"
        [ $tokens != char ] || grep -q "$(printf '\360\237\230\200')" shown ||
            fail "no character of four bytes"
    else
        say "skipped: there is no script(1), which makes a terminal"
    fi
done
# At a terminal generate says that it waits for a text; elsewhere it reads stdin silently.
script -qec "'$tool' generate controls.model -n 1" /dev/null >out 2>err </dev/null
[ ! -s out ] || grep -q 'note: type the start of a text' out || fail "generate waits without a word"
echo a | "$tool" generate controls.model -n 1 >out 2>err && [ ! -s err ] ||
    fail "generate: a note about stdin that is no terminal"

# ---- the locale ----------------------------------------------------------------------------

mkdir locale
if localedef -i de_DE -f UTF-8 locale/de_DE.UTF-8 >/dev/null 2>&1; then
    comma()     # COMMAND...
    {
        LOCPATH=$tmp/locale LC_ALL=de_DE.UTF-8 LANG=de_DE.UTF-8 "$@"
    }
    for command in 'eval m whole' 'info m' 'train --help' 'generate m -p the -n 20 -t 0.5' \
        'train whole --lr 1,5' 'train whole --dropout 1.5'; do
        # shellcheck disable=SC2086
        "$tool" $command >out 2>err </dev/null
        cat out err >point
        # shellcheck disable=SC2086
        comma "$tool" $command >out 2>err </dev/null
        cat out err | cmp -s - point || fail "$command: a comma locale changes what it prints"
    done
    # shellcheck disable=SC2086
    comma "$tool" train whole $quick -o n --csv n.csv --svg n.svg >out 2>err || fail "comma locale"
    cmp -s n usual || fail "a comma locale changes the model"
    grep -q 'perplexity  *[0-9]*\.[0-9]' out || fail "a comma locale changes the progress"
    ! sed 1d n.csv | awk -F, 'NR == 1 { n = NF } NF != n { exit 1 }' && fail "n.csv has commas"
    "$build/examples/compress" -H 4 -p 1 m z >out2
    comma "$build/examples/compress" -H 4 -p 1 m z >out
    cmp -s out out2 || fail "compress prints other numbers in a comma locale"
else
    say "skipped: localedef makes no locale with a decimal comma"
fi
exit 0
