# SPDX-License-Identifier: GPL-2.0
# Completion of vmrun's command line in bash. The options come from `vmrun --help`.

_vmrun_ctl() {
	local directory=${XDG_RUNTIME_DIR:-/run}/minivmm
	case $COMP_CWORD in
	2) mapfile -t COMPREPLY < <(compgen -W "$(ls "$directory" 2> /dev/null)" -- "$1") ;;
	3) mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" ctl "${COMP_WORDS[2]}" help \
		2> /dev/null | cut -d ' ' -f 1)" -- "$1") ;;
	*) mapfile -t COMPREPLY < <(compgen -f -- "$1") ;;
	esac
}

_vmrun() {
	local word=$2 before=$3 prefix=
	COMPREPLY=()
	if [[ ${COMP_WORDS[1]} == ctl && $COMP_CWORD -gt 1 ]]; then
		_vmrun_ctl "$word"
		return
	fi
	# "=" separates words for readline.
	if [[ $word == = ]]; then
		word=
	elif [[ $before == = ]]; then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	if [[ $word == @* ]]; then
		prefix=@ word=${word#@}
	fi
	case $before in
	--mmu) mapfile -t COMPREPLY < <(compgen -W 'auto ept shadow' -- "$word") ;;
	--entry-mode) mapfile -t COMPREPLY < <(compgen -W 'real prot long' -- "$word") ;;
	--mem | --cpus | --append | --load-addr | --name | --gdb | --timeout) ;;
	*)
		if [[ $word == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" --help |
				grep -o -e '^  --[a-z-]*' -e ', --[a-z-]*' | tr -d ' ,')" -- "$word")
		else
			mapfile -t COMPREPLY < <(compgen -P "$prefix" -f -- "$word")
		fi
		;;
	esac
}

complete -o filenames -F _vmrun vmrun
