# bash completion for outlive(1). Names of services and ids of updates are asked of outlived itself;
# nothing is offered when it doesn't answer.

_outlive_names() { outlive list "$1" --names 2>/dev/null; }

_outlive() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb="" i
  local verbs="run update rollback plan status list timeline log stop end reboot kexec kho finalize-format fsck reload metrics compat version"
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --) # The words of another program: its name, then files.
        if ((i == COMP_CWORD - 1)); then
          mapfile -t COMPREPLY < <(compgen -c -- "$cur"; compgen -f -- "$cur")
        else
          mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        fi
        compopt -o filenames
        return ;;
      --runtime-dir) ((i++)) ;;
      -*) ;;
      *) [[ -z $verb ]] && verb=${COMP_WORDS[i]} ;;
    esac
  done

  local words=""
  case $prev in
    --runtime-dir) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); compopt -o filenames; return ;;
    --html|--dtb|--image) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); compopt -o filenames; return ;;
    --restart) words="no on-failure always" ;;
    --policy) words="fail skip degrade" ;;
    --via) words="auto systemd reboot" ;;
    --kernel) words="6.19 7.3" ;;
    --scope) words="service daemon host kernel" ;;
    --session) words=$(_outlive_names sessions) ;;
    --pid) mapfile -t COMPREPLY < <(cd /proc && compgen -G '[0-9]*' | grep "^$cur"); return ;;
    --name|--id|--device|--faults|--listen|--env|--ready-timeout|--stop-timeout|--freeze-timeout|-n|--lines) return ;;
  esac
  if [[ -z $words ]]; then
    local common="--help --json --runtime-dir"
    case $verb in
      "") words="$verbs --help --runtime-dir" ;;
      run) words="--name --listen --restart --notify --policy --ready-timeout --stop-timeout --env --clean-env $common --" ;;
      update) words="$(_outlive_names services) outlived --binary --force --ready-timeout --freeze-timeout --policy --progress $common --" ;;
      rollback) words="$(_outlive_names services) --progress $common" ;;
      plan) words="$(_outlive_names services) --pid --scope $common" ;;
      list) words="services sessions files regions updates --session --names $common" ;;
      timeline) words="$(_outlive_names updates) --html $common" ;;
      log) words="$(_outlive_names services) --previous --follow --lines $common" ;;
      stop) words="$(_outlive_names services) --daemon --force $common" ;;
      end) words="$(_outlive_names sessions) --id $common" ;;
      kexec) words="--kernel --initrd --cmdline --reuse-cmdline --running-kernel --trust-kernel --policy --via --warm-up --dry-run $common" ;;
      reboot) words="--soft --dry-run --binary --force --keep-outlived --progress $common" ;;
      kho) words="dump diff save --image --kernel --debugfs --digest --dtb $common" ;;
      fsck) words="--image --repair $common" ;;
      compat) words="--kernel --device --faults --reboot --stop --help --runtime-dir --" ;;
      status|finalize-format|reload|metrics|version) words=$common ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _outlive outlive
