"""Rules of the C sources (DESIGN, "Who owns what" and "One source, every ISA")."""

import re
from pathlib import Path

import pytest
from structure import build_flags
from structure.tree import C_FILES, ROOT, SOURCE, c_code, found, name

#: Functions that may take more than seven arguments, and why they do.
MANY_ARGUMENTS = {
    "depthwise_tile": "inlined into depthwise",
    "depthwise_rows": "inlined into depthwise",
    "depthwise_dots_of": "inlined into depthwise_dots",
    "fc_conv2d_im2col_forward": "the arguments of fc_conv2d_direct_forward, and the BLAS",
    "fc_axis_backward": "the arguments of fc_axis_forward, the residue and its first coordinate",
}
ALLOCATION = (
    r"\b([mc]alloc|realloc|free|aligned_alloc|posix_memalign|alloca|m(un)?map|strn?dup)\s*\("
)
#: At the start of a line: type, name or NAME(name), arguments, then a body or the end.
FUNCTION = (
    r"^(?!typedef|return|else)[A-Za-z_][\w ]*[ *]"
    r"((?:NAME\((\w+)[^)]*\))|\w+)\(([^;{}()]*)\)\s*([{;])"
)


def violations(pattern: str, *allowed: str) -> list[str]:
    """Every line of C with the pattern in it, outside the allowed files."""
    return [line for p in C_FILES if name(p) not in allowed for line in found(pattern, p)]


def test_there_is_something_to_check() -> None:
    assert len(C_FILES) > 20


def test_openmp_is_in_one_file() -> None:
    pattern = r"#\s*pragma\s+omp|\bomp\.h\b|\bomp_\w+\s*\("
    assert not violations(pattern, "src_c/runtime/threads.c")
    assert found(pattern, SOURCE / "runtime/threads.c")


def test_memory_is_allocated_in_two_files() -> None:
    """Scratch, which ends with its thread, and results, which live as long as a user holds them."""
    owners = ["src_c/runtime/workspace.c", "src_c/runtime/output_cache.c"]
    assert not violations(ALLOCATION, *owners)
    assert all(found(ALLOCATION, ROOT / owner) for owner in owners)


def test_kernels_ask_for_no_scratch_and_no_threads() -> None:
    kernels = [path for path in C_FILES if path.parent.name == "kernels"]
    assert kernels
    lines = [line for p in kernels for line in found(r"\bfc_(workspace|parallel_for)\b", p)]
    assert not lines


def test_vector_code_is_in_kernels() -> None:
    pattern = r"\w*mmintrin\.h|arm_neon\.h|\b_mm\d*_|__builtin_ia32|vector_size"
    assert not [line for line in violations(pattern) if not line.startswith("src_c/kernels/")]


def test_rounding_mode_and_flush_to_zero_are_left_alone() -> None:
    pattern = r"\b(_mm_setcsr|_MM_SET_\w+|fesetround|fesetenv|feholdexcept|ldmxcsr)\b"
    assert not violations(pattern)


def test_no_dead_code() -> None:
    assert not violations(r"#\s*if\s+[01]\b")


@pytest.mark.parametrize("file", ["setup.py", "src_c/build_flags.py", "pyproject.toml"])
def test_no_flag_that_breaks_numerics_or_dispatch(file: str) -> None:
    text = "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in code_lines(ROOT / file))
    for flag in "-ffast-math", "-Ofast", "-march=native", "-mtune=native", "-flto", "-funsafe-math":
        assert flag not in text


def code_lines(path: Path) -> list[str]:
    """Lines of Python or TOML without the docstrings."""
    return re.sub(r'""".*?"""', "", path.read_text(), flags=re.S).splitlines()


def test_instruction_sets_have_the_same_names_everywhere() -> None:
    listed = re.findall(r"^FC_ISA\((\w+),", c_code(SOURCE / "runtime/isa_list.inc"), flags=re.M)
    built = [isa for _, isas in build_flags.load().ARCHITECTURES.values() for isa in isas]
    assert listed == built


@pytest.mark.parametrize("isa", ["avx512", "avx2"])
def test_the_cpu_is_asked_for_all_that_is_compiled_in(isa: str) -> None:
    text = c_code(SOURCE / "runtime/cpu.c")
    asked = text[text.index(f"int fc_cpu_has_{isa}") :].partition("\n}")[0]
    flags = build_flags.load().ARCHITECTURES["x86_64"][1][isa]
    used = {f[2:] for f in flags if f.startswith("-m") and "=" not in f}
    assert set(re.findall(r'__builtin_cpu_supports\("(\w+)"\)', asked)) == used


def functions(path: Path) -> list[tuple[str, int, int]]:
    """(name, arguments, lines) of every function that a file declares (0 lines) or defines."""
    result = []
    text = c_code(path)
    for match in re.finditer(FUNCTION, text, flags=re.M):
        line_end = text.index("\n", match.end()) if "\n" in text[match.end() :] else len(text)
        one_line = "}" in text[match.end() : line_end]
        end = line_end if one_line else text.find("\n}", match.end())
        lines = text.count("\n", match.start(), end) + 1 if match[4] == "{" else 0
        result.append((match[2] or match[1], len(match[3].split(",")), lines))
    return result


def test_functions_are_found() -> None:
    """The pattern above sees declarations, definitions and kernels by macro."""
    seen = {name: arguments for path in C_FILES for name, arguments, _ in functions(path)}
    assert seen["fc_parallel_for"] == 4
    assert seen["fc_conv2d_direct_forward"] == 7
    assert seen["conv_taps"] == 6
    assert seen["cgroup_quota"] == 1
    assert len(seen) > 80


def test_many_arguments_have_a_reason() -> None:
    many = {f for p in C_FILES for f, arguments, _ in functions(p) if arguments > 7}
    assert many == MANY_ARGUMENTS.keys(), "more than seven arguments mean a struct, or a reason"


@pytest.mark.parametrize("path", C_FILES, ids=name)
def test_c_functions_are_short(path: Path) -> None:
    assert [f for f, _, lines in functions(path) if lines > 65] == []


@pytest.mark.parametrize("path", C_FILES, ids=name)
def test_code_lives_in_files_not_in_backslashes(path: Path) -> None:
    macros = re.findall(r"^\s*#\s*define (?:.*\\\n)*.*$", path.read_text(), flags=re.M)
    assert [macro.split("\n")[0] for macro in macros if macro.count("\n") > 30] == []
