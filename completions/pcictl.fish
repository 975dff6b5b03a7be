# fish completion for pcictl. The program itself tells what may come next: pcictl complete -- WORD...

function __pcictl_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    set -l current (string replace -ra '["\'\\\\]' '' -- "$typed")
    set -l program $words[1]
    set -e words[1]
    type -q $program; or return
    set -l answer ($program complete -- $words "$current" 2>/dev/null)
    set -l option (string match -r -- '^--[^=]*=' "$current")
    switch "$answer[1]"
        case \t'command *'
            set -l first (math (string split ' ' -- $answer[1])[2] + 1)
            set -l command $words[$first..-1]
            complete -C (string join -- ' ' (string escape -- $command) "$typed")
        case \tfile
            __fish_complete_path (string replace -- "$option" '' "$current")
        case \tdirectory
            printf "$option%s\n" (__fish_complete_directories (string replace -- "$option" '' "$current") '')
        case '*'
            string match -v -- \tlist $answer
    end
end

complete -c pcictl -f -k -a '(__pcictl_complete)'
