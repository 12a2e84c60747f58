# shellcheck shell=bash
# Sourced by fuzz and sanitize: compiles the C core, which needs no Python, together with its fuzz target.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/fuzz
corpus=$root/native/fuzz/corpus
# shellcheck disable=SC2034  # used by the scripts that source this one
compiler=${CC:-gcc} sanitize=-fsanitize=address,undefined
mkdir -p "$build"

# works COMPILER FLAG...: can it build and run a program with these flags here? With -DFUZZER the program is a fuzz target.
works() {
    local cc=$1
    shift
    command -v "$cc" >/dev/null || return 1
    printf '%s\n' '#include <stddef.h>' '#ifdef FUZZER' \
        'int LLVMFuzzerTestOneInput(const unsigned char *d, size_t n) { return d != NULL && n > 1u << 30; }' \
        '#else' 'int main(void) { return 0; }' '#endif' >"$build/works.c"
    "$cc" "$@" "$build/works.c" -o "$build/works" 2>/dev/null || return 1
    if [[ " $* " == *" -DFUZZER "* ]]; then
        "$build/works" -runs=1 >/dev/null 2>&1
    else
        "$build/works" >/dev/null 2>&1
    fi
}

# build_driver COMPILER BINARY FLAG...: the whole core and the fuzz target, with frame pointers and every warning an error.
build_driver() {
    local cc=$1 binary=$2
    shift 2
    "$cc" -std=c11 -O1 -g -fno-omit-frame-pointer -Wall -Wextra -Wconversion -Werror -I "$root/native" "$@" \
        "$root/native/fuzz/fuzz_decoder.c" "$root"/native/fl_*.c -o "$binary" -lm
}

# run_standalone BINARY INPUTS [SEED]: the seed corpus' files, then so many random inputs.
run_standalone() {
    local files=()
    if [ -d "$corpus" ]; then
        files=("$corpus"/*)
    fi
    "$1" --random "$2" --seed "${3:-1}" ${files[@]+"${files[@]}"}
}
