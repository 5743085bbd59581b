import inspect
import json
import subprocess
import sys

import pytest

import distributed_prompt
from distributed_prompt import errors

HEAVY = ("boto3", "botocore", "click", "lmdb", "numpy", "tqdm")


def loaded(statements: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after the statements."""
    script = f"import json, sys\n{statements}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True, timeout=60)
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded("import distributed_prompt").isdisjoint(HEAVY)


def test_importing_every_name_loads_nothing_heavy() -> None:
    assert loaded("from distributed_prompt import *").isdisjoint(HEAVY)


def test_asking_for_the_version_loads_nothing_heavy() -> None:
    assert loaded("import distributed_prompt\ndistributed_prompt.__version__").isdisjoint(HEAVY)


def test_reading_a_prompt_loads_nothing_heavy() -> None:
    text = "from distributed_prompt import DistributedPrompt\np = DistributedPrompt.from_text('a\\nb' * 9)\np.find('b')"
    assert loaded(text).isdisjoint({*HEAVY})


def test_the_package_writes_nothing_when_it_is_imported() -> None:
    command = [sys.executable, "-W", "error", "-c", "import distributed_prompt"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_the_listed_names_are_sorted_and_exist() -> None:
    names = distributed_prompt.__all__
    assert names == sorted(set(names))
    assert all(hasattr(distributed_prompt, name) for name in names)


def test_what_is_written_lazily_is_listed_and_is_what_its_module_has() -> None:
    assert set(distributed_prompt._HOMES) < set(distributed_prompt.__all__)
    for name in distributed_prompt._HOMES:
        value = getattr(distributed_prompt, name)
        assert value.__module__ == f"distributed_prompt.{distributed_prompt._HOMES[name]}"


def test_an_unknown_name_is_an_attribute_error_that_says_so() -> None:
    with pytest.raises(AttributeError, match=r"module 'distributed_prompt' has no attribute 'nothing'"):
        distributed_prompt.nothing  # noqa: B018  # the access is the point


def test_the_version_is_that_of_the_distribution() -> None:
    assert isinstance(distributed_prompt.__version__, str)
    assert distributed_prompt.__version__[0].isdecimal()


def test_every_public_error_is_an_error_of_ours_and_also_a_builtin_one() -> None:
    public = [value for name, value in vars(errors).items() if inspect.isclass(value) and not name.startswith("_")]
    assert len(public) > 10
    for error in public:
        assert issubclass(error, errors.DPromptError)
        assert error.__doc__
        if error is not errors.DPromptError:
            assert any(base.__module__ == "builtins" for base in error.__mro__[1:-3])


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = {
        line.split("─ ")[1].split()[0]: line.split("(")[1].split(")")[0]
        for line in str(errors.__doc__).splitlines()
        if "─ " in line
    }
    actual = {
        name: next(base.__name__ for base in value.__mro__ if base.__module__ == "builtins")
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value is not errors.DPromptError and not name.startswith("_")
    }
    assert drawn == actual
