#!/bin/sh
# The mean image of a site's digits, and how much each pixel varies: task code in
# POSIX shell, with jq, awk and od.
#
# fxrun starts it in a box, writes one request per line to its standard input, and
# reads one answer per line from its standard output, both JSON. Tensors travel in
# safetensors files that the requests name. Standard error is the log.
#
# The model has two tensors with a value for each pixel: mean, and square, which is
# the mean of the squares. The aggregator averages what the sites send, weighted by
# their rows: exactly the mean and the mean square of all rows of all sites. The
# variance is then square - mean*mean.
#
# shellcheck disable=SC2016 # the $names in single quotes are those of jq
set -eu

# encode turns numbers, one a line, into float32 values, least significant byte
# first: awk takes each number apart, and printf writes its bytes.
encode() {
  awk '
    function byte(b) { printf "\\%03o", b }
    {
      v = $1; sign = 0; exponent = 127
      if (v < 0) { sign = 128; v = -v }
      while (v >= 2 && exponent < 255) { v /= 2; exponent++ }
      while (v < 1 && exponent > 1) { v *= 2; exponent-- }
      if (v < 1) exponent = 0; else v -= 1     # zero and the smallest numbers
      v *= 8388608                             # the 23 bits behind the point
      bits = int(v)
      if (v - bits > 0.5 || (v - bits == 0.5 && bits % 2)) bits++
      if (bits == 8388608) { bits = 0; exponent++ }
      byte(bits % 256)
      byte(int(bits / 256) % 256)
      byte(exponent % 2 * 128 + int(bits / 65536))
      byte(sign + int(exponent / 2))
    }' | {
    # The numbers are the format: no shell variable can hold a zero byte.
    IFS= read -r bytes || true
    # shellcheck disable=SC2059
    printf "$bytes"
  }
}

# write FILE writes a model whose numbers it reads: first all of mean, then all of
# square. A safetensors file is the length of its header in 8 bytes, the header, and
# the values. Spaces make the header's length a multiple of 8.
write() {
  header=$(jq -nc --argjson n "$columns" '{
    mean: {dtype: "F32", shape: [$n], data_offsets: [0, 4 * $n]},
    square: {dtype: "F32", shape: [$n], data_offsets: [4 * $n, 8 * $n]}
  }')
  while [ $((${#header} % 8)) -ne 0 ]; do header="$header "; done
  {
    # shellcheck disable=SC2059
    printf "\\$(printf %03o $((${#header} % 256)))\\$(printf %03o $((${#header} / 256)))\0\0\0\0\0\0"
    printf %s "$header"
    encode
  } >"$1"
}

# tensor FILE NAME prints the numbers of one tensor, one a line.
tensor() {
  length=$(od -An -v -t u8 -N 8 "$1" | tr -d ' ')
  range=$(tail -c +9 "$1" | head -c "$length" | jq -r --arg name "$2" --argjson n "$columns" '
    .[$name] | if .dtype == "F32" and .shape == [$n] then .data_offsets | join(" ") else error("no such tensor") end')
  od -An -v -t f4 -j "$((8 + length + ${range% *}))" -N "$((4 * columns))" "$1" | tr -s ' ' '\n' | sed '/^$/d'
}

# moments FILE prints mean and mean square of each column, and the number of rows.
moments() {
  awk -F , -v columns="$columns" '
    function refuse(what) { print "train.csv, line " NR ": " what >"/dev/stderr"; bad = 1; exit }
    NF <= columns { refuse("there are " NF " values; more than " columns " were expected") }
    {
      for (i = 1; i <= columns; i++) {
        if ($i !~ /^-?[0-9]+(\.[0-9]+)?$/) refuse("value " i " is no number")
        sum[i] += $i
        square[i] += $i * $i
      }
    }
    END {
      if (bad || NR == 0) exit 1
      for (i = 1; i <= columns; i++) printf "%.17g\n", sum[i] / NR
      for (i = 1; i <= columns; i++) printf "%.17g\n", square[i] / NR
      print NR
    }' "$1"
}

# field JQ [OPTION]... prints a part of the request.
field() {
  filter=$1
  shift
  printf '%s\n' "$request" | jq -r "$@" "$filter"
}

# The operations. Each prints the fields that its answer has besides id and ok; what
# goes to descriptor 3 is the text of its error.
hello() {
  if [ "$(field .protocol)" != fx-task/1 ]; then
    echo "this program speaks fx-task/1" >&3
    return 1
  fi
  echo '{"protocol": "fx-task/1", "name": "mean image in shell"}'
}

init() {
  awk -v n=$((2 * columns)) 'BEGIN { while (n--) print 0 }' | write "$(field .output)"
  echo '{"tensors": true}'
}

# moments_task sends the site's mean and square.
moments_task() {
  moments "$data/train.csv" >"$scratch/moments"
  rows=$(tail -n 1 "$scratch/moments")
  if [ "$rows" -lt "$least" ]; then
    echo "there are $rows rows, and the plan asks for $least: the mean of a few is too much like each of them" >&3
    return 1
  fi
  sed '$d' "$scratch/moments" | write "$(field .output)"
  metrics=$(head -n "$columns" "$scratch/moments" | awk '
    { sum += $1 }
    END { printf "{\"brightness\": %.9g}", sum / NR }')
  report "$metrics" "$rows" true
}

# similarity_task says how like the site's mean image is to the one in the model: the
# cosine of the angle between them, 1 if they differ in brightness only.
similarity_task() {
  moments "$data/train.csv" >"$scratch/moments"
  rows=$(tail -n 1 "$scratch/moments")
  inputs=$(field .inputs)
  if [ ! -f "$inputs" ]; then
    echo "the task comes without a model" >&3
    return 1
  fi
  tensor "$inputs" mean >"$scratch/mean"
  metrics=$(head -n "$columns" "$scratch/moments" | paste - "$scratch/mean" | awk '
    { both += $1 * $2; here += $1 * $1; there += $2 * $2 }
    END { printf "{\"similarity\": %.9g}", (here * there ? both / sqrt(here * there) : 0) }')
  report "$metrics" "$rows" false
}

# report METRICS ROWS TENSORS prints an answer with those metrics that the plan
# lists: nothing else leaves a site.
report() {
  field '{
    metrics: [.metrics[] | {key: ., value: ($have[.] // error("there is no metric " + .))}] | from_entries,
    data_size: $rows, tensors: $tensors
  }' -c --argjson have "$1" --argjson rows "$2" --argjson tensors "$3"
}

run() {
  function=$(field .function)
  case $function in
  moments_task | similarity_task) "$function" ;;
  *)
    echo "there is no function $function; allowed: moments_task, similarity_task" >&3
    return 1
    ;;
  esac
}

columns=64 least=1 data='' scratch=/tmp
while IFS= read -r request; do
  operation=$(field .op)
  case $operation in
  hello)
    # What holds for all requests: the plan's settings and the folders.
    columns=$(field '.data_loader.settings.columns // 64')
    least=$(field '.data_loader.settings.least_rows // 1')
    data=$(field '.data // ""')
    scratch=$(field '.scratch // "/tmp"')
    ;;
  init | run | bye) ;;
  *) operation=unknown ;;
  esac
  # In a shell of its own, which ends at the first command that fails.
  set +e
  fields=$(
    set -e
    exec 3>"$scratch/error"
    case $operation in
    hello | init | run) "$operation" ;;
    bye) echo '{}' ;;
    *) echo "there is no such operation" >&3 && exit 1 ;;
    esac
  )
  failed=$?
  set -e
  if [ $failed -eq 0 ]; then
    field '{id, ok: true} + $fields' -c --argjson fields "$fields"
  else
    field '{id, ok: false, error: (if $error == "" then "it failed; its log says why" else $error end)}' \
      -c --arg error "$(cat "$scratch/error")"
  fi
  [ "$operation" != bye ] || exit 0
done
