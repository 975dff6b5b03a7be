# shellcheck shell=bash
# bash completion for pcictl. The program itself tells what may come next: pcictl complete -- WORD...

_pcictl() {
    COMPREPLY=()
    local line=${COMP_LINE:0:COMP_POINT} words=() starts=() before='' piece='' i
    # Readline breaks words at colons and equals signs, too: what no blank parts belongs together.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        if ((i == 0)) || [[ $line == [[:blank:]]* ]]; then
            words+=('') starts+=("$i")
        fi
        line=${line#"${line%%[![:blank:]]*}"}
        piece=${COMP_WORDS[i]}
        ((${#piece} <= ${#line})) || piece=$line
        before=${words[-1]}
        words[-1]+=$piece
        line=${line:${#piece}}
    done
    # What readline leaves as it is stands before the piece, or is the piece.
    [[ $piece == *[^"$COMP_WORDBREAKS"]* ]] || before+=$piece
    local program=${words[0]/#"~/"/"$HOME/"} answer=() values=() keep=() value text room width=0
    words=("${words[@]//[\"\'\\]/}")
    mapfile -t answer < <("$program" complete -- "${words[@]:1}" 2>/dev/null)
    case ${answer[0]-} in
        '') return ;;
        $'\tcommand '*)
            _pcictl_command "${starts[1 + ${answer[0]##* }]}"
            return
            ;;
        $'\tfile' | $'\tdirectory')
            compopt -o filenames 2>/dev/null
            [[ ${answer[0]} == *file ]] && text=-f || text=-d
            mapfile -t COMPREPLY < <(compgen "$text" -- "${words[-1]#"$before"}")
            return
            ;;
        # Readline replaces the word by what all begin with; here that must be nothing.
        $'\tlist') unset 'answer[0]' && keep=(' ') ;;
    esac
    for i in "${!answer[@]}"; do
        value=${answer[i]%%$'\t'*}
        [[ $value == "$before"* ]] || continue
        value=${value#"$before"}
        [[ $value != *[[:space:]\"\'\\\$\`\&\;\<\>\(\)\|]* ]] || printf -v value %q "$value"
        values+=("$value") COMPREPLY+=("${answer[i]#*$'\t'}")
        ((${#value} <= width)) || width=${#value}
    done
    if ((${#values[@]} < 2)); then
        COMPREPLY=("${values[@]}")
        [[ ${values[0]-} != *[:=/,] ]] || compopt -o nospace 2>/dev/null
        return
    fi
    # Where values are listed and not inserted, each is followed by what it means.
    room=$((${COLUMNS:-80} - width - 5))
    for i in "${!values[@]}"; do
        text=${COMPREPLY[i]:0:room > 0 ? room : 0}
        [[ ${COMP_TYPE-9} != @(37|42) ]] || text=''
        COMPREPLY[i]=${values[i]}
        [[ -z $text ]] || printf -v "COMPREPLY[i]" '%-*s  (%s)' "$width" "${values[i]}" "$text"
    done
    COMPREPLY+=("${keep[@]}")
}

# _pcictl_command INDEX: completes the command line that begins with this word.
_pcictl_command() {
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif (($1 == COMP_CWORD)); then
        mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
    else
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
    fi
}

complete -o nosort -F _pcictl pcictl 2>/dev/null || complete -F _pcictl pcictl
