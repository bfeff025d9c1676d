# SPDX-License-Identifier: MIT
# bash completion for cotangent(1). The commands and options are those that the tool itself lists.

_cotangent()
{
    local current=${COMP_WORDS[COMP_CWORD]} tool=${COMP_WORDS[0]} command='' word values
    local i

    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -*) ;;
        help) ;;
        *)
            command=${COMP_WORDS[i]}
            break
            ;;
        esac
    done
    if [[ -z $command ]]; then
        word=$("$tool" --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
        mapfile -t COMPREPLY < <(compgen -W "$word help --help --version" -- "$current")
        return
    fi

    # bash splits --model=gru into three words.
    word=''
    if [[ $current == = ]]; then
        word=${COMP_WORDS[COMP_CWORD - 1]} current=''
    elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then
        word=${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == --* ]]; then
        word=${COMP_WORDS[COMP_CWORD - 1]}
    fi
    if [[ $word == --* ]]; then
        # Choices are in --help as --model=rnn|lstm|gru or as --optimizer=NAME ... : sgd, adam (adam).
        values=$("$tool" "$command" --help 2>/dev/null | tr -s ' \n' '  ' |
            sed -n "s/^.* $word=\([a-z0-9|]*|[a-z0-9|]*\) .*/\1/p
                s/^.* $word=NAME [a-z ]*: \([a-z, ]*\)(.*/\1/p" | tr '|,' '  ')
        if [[ -n $values ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$values" -- "$current")
            return
        fi
    fi
    if [[ $current == -* ]]; then
        word=$("$tool" "$command" --help 2>/dev/null | grep -o -e '--[a-z][a-z-]*')
        mapfile -t COMPREPLY < <(compgen -W "$word" -- "$current")
        return
    fi
    compopt -o default 2>/dev/null # names of files
}
complete -F _cotangent cotangent
